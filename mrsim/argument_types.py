"""What a call is given, held against its annotations: the error of a wrong type names its keyword.

Simple annotations are checked: numbers, strings, paths, tuples, mappings, sequences, functions, classes and
unions of them. What cannot be told at run time is let through.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from mrsim.errors import InputError, Option, OptionError

P = ParamSpec("P")
T = TypeVar("T")

MAX_WHOLE = 10**300
"""A whole number above this is none that a float can hold."""
_SHOWN = 60  # characters of a wrong value
_PLAIN = (str, int, float, complex, type(None), list, tuple, dict)
_WORDS: Mapping[Any, tuple[str, str]] = {
    bool: ("True or False", "truth values"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
    Path: ("a path", "paths"),
    type(None): ("None", "None"),
}
_COUNTS = ("no", "one", "two", "three", "four", "five", "six")


class _Wrong(Exception):
    """Say that a value is of no type that was expected."""


class _Parameter(NamedTuple):
    name: str
    hint: Any
    default: Any


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function refuse values of a wrong type before it runs.

    A number of numpy's becomes a plain one, a list that stands for a tuple becomes a tuple, and a string that
    stands for a path alone becomes a path.

    Parameters
    ----------
    function
        A front door; an annotation that cannot be resolved at run time is left out.

    Returns
    -------
    function
        The same, with the same signature; it raises an `OptionError` that names the keyword.
    """
    signature = inspect.signature(function)
    known = functools.cache(lambda: _parameters(function, signature))

    @functools.wraps(function)
    def door(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python says which keyword is missing or unknown
        for one in known():
            if one.name in bound.arguments:
                bound.arguments[one.name] = check_value(
                    one.name, bound.arguments[one.name], one.hint, one.default
                )
        return function(*bound.args, **bound.kwargs)

    return door


def check_fields(instance: Any, kind: type[InputError]) -> None:
    """Hold the fields of a frozen dataclass against their annotations; for its `__post_init__`.

    Parameters
    ----------
    instance
        What is checked; its numbers and tuples become plain ones, as for `checked`.
    kind
        The error of a wrong value.

    Raises
    ------
    InputError
        If a value is of a wrong type; it names the field.
    """
    for one in _parameters(type(instance), inspect.signature(type(instance))):
        value = check_value(one.name, getattr(instance, one.name), one.hint, kind=kind)
        object.__setattr__(instance, one.name, value)


def check_value(
    name: str, value: object, hint: Any, default: object = None, kind: type[InputError] = OptionError
) -> Any:
    """Return a value as a call takes it.

    Parameters
    ----------
    name
        Its keyword.
    value
        What is given.
    hint
        The type that is expected.
    default
        Shown as an example, where it is a number or a tuple.
    kind
        The error of a wrong value.

    Raises
    ------
    InputError
        If the value is not of the type.
    """
    try:
        return _taken(value, hint)
    except _Wrong:
        example = type(default) in (int, float, tuple) and default not in (0, ())
        expected = _in_words(hint) + (f", such as {default!r}" if example else "")
        shown = repr(value) if type(value) in (*_PLAIN, bool) else "\n"
        if len(shown) <= _SHOWN and "\n" not in shown:
            raise kind("{}: expected {}", Option(name, value), expected) from None
        raise kind("{}: expected {}, not {}", Option(name), expected, with_article(type(value))) from None


def _parameters(function: Callable[..., Any], signature: inspect.Signature) -> tuple[_Parameter, ...]:
    """Return the parameters whose annotations can be resolved, each by itself."""
    names = vars(sys.modules[inspect.unwrap(function).__module__])
    found = []
    for name, parameter in signature.parameters.items():
        one = types.SimpleNamespace(__annotations__={name: parameter.annotation})
        try:
            hint = typing.get_type_hints(one, globalns=names)[name]
        except (NameError, AttributeError, TypeError):  # it is imported for type checkers alone
            continue
        found.append(_Parameter(name, hint, parameter.default))
    return tuple(found)


def _taken(value: Any, hint: Any) -> Any:
    """Return the value as one of this type."""
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _taken_as_one_of(value, of)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _Wrong
        each = of[:1] * len(value) if of[-1:] == (...,) else of
        if len(value) != len(each):
            raise _Wrong
        return tuple(_taken(v, kind) for v, kind in zip(value, each, strict=True))
    if hint is bool:
        if isinstance(value, bool):
            return value
        if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
            return bool(value)
        raise _Wrong
    if hint in (int, float):
        kind = numbers.Integral if hint is int else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind):
            raise _Wrong
        if hint is float and isinstance(value, int) and abs(value) > MAX_WHOLE:
            raise _Wrong
        return value.item() if hasattr(value, "item") else value
    if hint is Path and isinstance(value, str | os.PathLike):
        return Path(value)
    return _taken_as_class(value, hint, origin, of)


def _taken_as_one_of(value: Any, kinds: Sequence[Any]) -> Any:
    for kind in kinds:
        try:
            return _taken(value, kind)
        except _Wrong:
            continue
    raise _Wrong


def _taken_as_class(value: Any, hint: Any, origin: Any, of: Sequence[Any]) -> Any:
    kind = origin or hint
    if not isinstance(kind, type):
        return value
    try:
        if not isinstance(value, kind):
            raise _Wrong
    except TypeError:  # a protocol that cannot be asked
        if "__call__" in vars(kind) and not callable(value):
            raise _Wrong from None
        return value
    if kind is not Sequence:
        return value
    if isinstance(value, str):
        raise _Wrong
    if isinstance(value, list | tuple):
        taken = [_taken(v, of[0]) for v in value]
        return tuple(taken) if isinstance(value, tuple) else taken
    return value


def _in_words(hint: Any, many: bool = False) -> str:
    """Return what is expected, such as "a number or None"."""
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint][many]
    if origin in (typing.Union, types.UnionType):
        words = [_in_words(kind, many) for kind in of]
        return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    if origin is tuple and len(set(of)) == 1:
        return f"{_COUNTS[len(of)]} {_in_words(of[0], many=True)}"
    if origin is Sequence:
        return f"a list of {_in_words(of[0], many=True)}"
    if origin is Mapping:
        return "a dictionary"
    if origin is Callable:
        return "a function"
    kind = origin or hint
    if not isinstance(kind, type):
        return str(kind)
    if "__call__" in vars(kind):
        return "functions" if many else "a function"
    return f"{kind.__name__} objects" if many else with_article(kind)


def with_article(kind: type) -> str:
    """Return the name of a class with its article, such as "an int"."""
    name = kind.__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
