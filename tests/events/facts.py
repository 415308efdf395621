"""Any fact that the catalog admits, made from the models' own fields and bounds."""

from __future__ import annotations

import types
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel

from shared.events.catalog import FACTS, AnyEvent, Cause, follow
from shared.events.ids import MAX_NUMBER, MAX_SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DrawFn, SearchStrategy

    from shared.events.envelope import Fact

TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds it
WORDS = st.characters(codec="utf-8")
SHOWN = st.characters(codec="utf-8", exclude_categories=["Cc"])


def facts() -> SearchStrategy[Fact]:
    """Return any fact of any type."""
    return st.one_of([models(fact) for fact in FACTS])


def models(model: type[BaseModel]) -> SearchStrategy[Any]:
    """Return any instance of a model."""
    fields = {name: values(field.annotation, list(field.metadata)) for name, field in model.model_fields.items()}
    return st.builds(model, **fields)


def values(kind: Any, metadata: list[Any]) -> SearchStrategy[Any]:
    """Return any value of an annotation within its bounds."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *more = get_args(kind)
        flat = [bound for item in more for bound in getattr(item, "metadata", [item])]
        return values(inner, [*metadata, *flat])
    if origin is Literal:
        return st.sampled_from(get_args(kind))
    if origin in {Union, types.UnionType}:
        return st.one_of([values(option, metadata) for option in get_args(kind)])
    if origin is tuple:
        least = bound("min_length", metadata, 0)
        return st.lists(values(get_args(kind)[0], []), min_size=least, max_size=3).map(tuple)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return models(kind)
    return PLAIN[kind](metadata)


def bound(name: str, metadata: list[Any], otherwise: Any) -> Any:
    """Return a bound among an annotation's metadata."""
    return next((getattr(item, name) for item in metadata if getattr(item, name, None) is not None), otherwise)


def integers(metadata: list[Any]) -> SearchStrategy[int]:
    """Return whole numbers within bounds."""
    most = min(bound("le", metadata, MAX_NUMBER), bound("lt", metadata, MAX_NUMBER + 1) - 1)
    return st.integers(bound("ge", metadata, -MAX_NUMBER), most)


def text(metadata: list[Any]) -> SearchStrategy[str]:
    """Return text within bounds."""
    least, most = bound("min_length", metadata, 0), bound("max_length", metadata, 40)
    pattern = bound("pattern", metadata, None)
    if pattern is None:
        return st.text(WORDS, min_size=least, max_size=min(most, 40))
    return st.from_regex(pattern, fullmatch=True).filter(lambda made: least <= len(made) <= most)


PLAIN: dict[Any, Callable[[list[Any]], SearchStrategy[Any]]] = {
    bool: lambda _: st.booleans(),
    int: integers,
    float: lambda metadata: st.floats(
        bound("ge", metadata, None), bound("le", metadata, None), allow_nan=False, allow_infinity=False
    ),
    str: text,
    AwareDatetime: lambda _: TIMES,
    type(None): lambda _: st.none(),
}


@st.composite
def events(draw: DrawFn) -> AnyEvent:
    """Return any event."""
    cause = Cause(
        id=draw(st.text(SHOWN, min_size=1, max_size=128)),
        tenant=draw(st.from_regex(r"^[a-z0-9][a-z0-9-]{0,62}$", fullmatch=True)),
        task=draw(st.from_regex(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$", fullmatch=True)),
        entity=draw(st.from_regex(r"^[^\x00-\x1f\x7f-\x9f]{1,256}$", fullmatch=True)),
        source=draw(st.from_regex(r"^[a-z]{1,20}(/[A-Za-z0-9._~-]{0,40}){0,3}$", fullmatch=True)),
    )
    return follow(cause, [draw(facts())], after=draw(st.integers(0, MAX_SEQUENCE - 1)), at=draw(TIMES))[0]
