"""Multiply and add with one rounding: the only way in which the kernels fuse.

A compiler that is free to fuse (`fastmath={"contract"}`) chooses anew wherever it inlines a kernel, so that
the last bit depends on what was compiled before, or loaded from a cache. Written out, the bits are the same
in every process, on every processor.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once; within kernels only.

    Parameters
    ----------
    a, b, c
        Factors and summand, float64.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), emit
