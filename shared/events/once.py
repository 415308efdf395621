"""Whether a JSON text says every key once, found without reading it a second time.

A string of JSON, a key or a value, stands between two quotes. Where a key stands twice the last one wins, and what
was read has fewer strings than its text has pairs of quotes. An escaped quote in the text, too, and a value of a kind
that is not counted here leave what was read behind: equal counts are a proof, and only equal ones.

That holds for strict models, where nothing that is text now was anything else in JSON. Written for speed: every
event that arrives is counted, and reading one takes a few microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from operator import truth
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel

_Counter = Callable[[Any], int]
_FAR_BEHIND = -(10**12)  # fields nobody knows are not counted, so nothing that has them may seem to be proven


def proven_once(body: bytes | str, read: BaseModel) -> bool:
    """Tell whether `body`, which was read as `read`, certainly has no key twice and no field its models do not know."""
    quotes = body.count(b'"') if isinstance(body, bytes) else body.count('"')
    return quotes == 2 * _strings(read)


def _strings(model: BaseModel) -> int:
    """Count the strings that a model was read from, keys included: never more than its text has."""
    if model.__pydantic_extra__:
        return _FAR_BEHIND
    given = model.__pydantic_fields_set__
    sure, defaulted, varying = _shape(type(model))
    found = len(given) + sure
    for name in defaulted:
        found += name in given
    values = model.__dict__
    for name, count in varying:
        found += count(values[name])
    return found


def _of_each(models: tuple[BaseModel, ...]) -> int:
    return sum(map(_strings, models))


def _one(_value: object) -> int:
    return 1


def _none(_value: object) -> int:
    return 0


@cache
def _shape(model: type[BaseModel]) -> tuple[int, tuple[str, ...], tuple[tuple[str, _Counter], ...]]:
    """Return how many fields always hold text, which do so where they are given, and how to count the others'."""
    counters = {name: _counter(field.annotation) for name, field in model.model_fields.items()}
    texts = [name for name, counter in counters.items() if counter is _one]
    defaulted = tuple(name for name in texts if not model.model_fields[name].is_required())
    varying = tuple((name, counter) for name, counter in counters.items() if counter not in {_one, _none})
    return len(texts) - len(defaulted), defaulted, varying


def _counter(kind: Any) -> _Counter:  # noqa: ANN401  whatever a field is annotated with
    """Return what counts the strings in a field's value; `_none` for a kind that is not looked into."""
    origin, options = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _counter(options[0])
    if origin is Literal:
        return _one if all(isinstance(option, str) for option in options) else _none
    if origin is Union or isinstance(kind, UnionType):
        return truth if NoneType in options and {_counter(o) for o in options if o is not NoneType} == {_one} else _none
    if origin is tuple and options[1:] == (...,):
        return {_one: len, _strings: _of_each}.get(_counter(options[0]), _none)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _strings
    return _one if kind in {str, datetime, AwareDatetime} else _none
