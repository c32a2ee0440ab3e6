"""Vectors of sixteen float32 for compiled kernels, with their arithmetic written out (SIMD).

The compiler vectorizes a loop over rows of one array only if it can prove that the rows do not overlap. In a
transform it cannot. Here the width is fixed: one register of AVX-512, two of AVX, four elsewhere. The bits
are the same on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

WIDTH = 16

_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_INDEX = ir.IntType(32)


class Vector(types.Type):  # type: ignore[misc]  # numba has no types of its own
    """Type of sixteen float32 within a kernel."""

    def __init__(self) -> None:
        super().__init__(name="Vector")


_vector = Vector()


@register_model(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@intrinsic
def load(typing: Any, values: Any, start: Any) -> Any:
    """Return sixteen neighbours of a contiguous array of float32, or of pairs of them, unchecked."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature, arguments), align=4)

    return _vector(values, types.intp), emit


@intrinsic
def store(typing: Any, values: Any, start: Any, vector: Any) -> Any:
    """Write sixteen neighbours of a contiguous array of float32, or of pairs of them, unchecked."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _address(context, builder, signature, arguments), align=4)
        return context.get_dummy_value()

    return types.void(values, types.intp, _vector), emit


@intrinsic
def spread(typing: Any, value: Any) -> Any:
    """Return sixteen times the same number."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(_INDEX, 0))
        return builder.shuffle_vector(first, nothing, _order([0] * WIDTH))

    return _vector(types.float32), emit


def _arithmetic(instruction: str, what: str) -> Callable[..., Any]:
    def operate(typing: Any, a: Any, b: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return _vector(_vector, _vector), emit

    operate.__doc__ = what
    made: Callable[..., Any] = intrinsic(operate)
    return made


add = _arithmetic("fadd", "Return a + b.")
subtract = _arithmetic("fsub", "Return a - b.")
multiply = _arithmetic("fmul", "Return a * b.")


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return _fused(builder, *arguments)

    return _vector(_vector, _vector, _vector), emit


@intrinsic
def multiply_subtract(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b - c, rounded once."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        a, b, c = arguments
        return _fused(builder, a, b, builder.fneg(c))

    return _vector(_vector, _vector, _vector), emit


def _shuffle(order: list[int], what: str) -> Callable[..., Any]:
    def shuffle(typing: Any, a: Any, b: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            return builder.shuffle_vector(*arguments, _order(order))

        return _vector(_vector, _vector), emit

    shuffle.__doc__ = what
    made: Callable[..., Any] = intrinsic(shuffle)
    return made


_TWICE = range(2 * WIDTH)
evens = _shuffle(
    [n for n in _TWICE if n % 2 == 0], "Return every other of the 32 numbers of a and b, from the first."
)
odds = _shuffle(
    [n for n in _TWICE if n % 2 == 1], "Return every other of the 32 numbers of a and b, from the second."
)
pairs_low = _shuffle(
    [n // 2 + WIDTH * (n % 2) for n in range(WIDTH)], "Return numbers of a and b in turns, the first eight."
)
pairs_high = _shuffle(
    [n // 2 + WIDTH * (n % 2) for n in range(WIDTH, 2 * WIDTH)],
    "Return numbers of a and b in turns, the last eight.",
)


def _address(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    numbers = builder.bitcast(array.data, ir.FloatType().as_pointer())
    return builder.bitcast(builder.gep(numbers, [arguments[1]]), _VECTOR.as_pointer())


def _fused(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{WIDTH}f32")
    return builder.call(fma, [a, b, c])


def _order(indices: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INDEX, len(indices)), indices)
