"""Reading and writing one event of a kilobyte: ours, bare pydantic, the CloudEvents SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Union

from cloudevents.conversion import to_json
from cloudevents.http import CloudEvent, from_json
from pydantic import Discriminator, TypeAdapter

from benchmarks.material import reviewed, told
from benchmarks.runner import Effort, Row, at_most, each, in_turns
from shared.events.catalog import CATALOG, AnyEvent, encode, parse
from shared.events.document import DocumentReviewed

_UNION: Any = Union[tuple(CATALOG.values())]  # noqa: UP007  its members are known at run time only
_MICRO = 1e6
_MORE = 5  # times as many repeats, because each takes milliseconds only and a busy machine skews some


def rows(effort: Effort) -> Iterator[Row]:
    """Measure decoding, then encoding."""
    event = told("one", [reviewed()])[0]
    times = effort.pick(full=1000, quick=500, tiny=3)
    repeats = _MORE * effort.repeats
    yield from _decoding(event, repeats, times)
    yield from _encoding(event, repeats, times)


def _decoding(event: AnyEvent, repeats: int, times: int) -> Iterator[Row]:
    body = encode(event).encode()
    bare: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[_UNION, Discriminator("type")])
    assert parse(body) == bare.validate_json(body) == event
    assert _by_sdk(body) == (event.id, event.data)
    contenders = (lambda: parse(body), lambda: bare.validate_json(body), lambda: _by_sdk(body))
    ours, pydantic, sdk = in_turns(repeats, *(each(work, times, scale=_MICRO) for work in contenders))
    more = "which also bounds the size and refuses keys that stand twice"
    note = f"{len(body)} bytes of document.reviewed, as bytes. Ours: catalog.parse, {more}."
    union = " pydantic: validate_json of a discriminated union of the same models."
    typed = " SDK: cloudevents 1.x from_json, then our model of the data; its attributes stay unchecked."
    yield Row("event decoded", "µs", ours, "bare pydantic", pydantic, at_most(1.15), note + union)
    yield Row("event decoded, SDK", "µs", ours, "cloudevents SDK", sdk, at_most(1 / 3), note + typed)


def _by_sdk(body: bytes) -> tuple[str, DocumentReviewed]:
    event = from_json(body)
    return event["id"], DocumentReviewed.model_validate(event.data, strict=False)  # lists where we have tuples


def _encoding(event: AnyEvent, repeats: int, times: int) -> Iterator[Row]:
    assert encode(event) == event.model_dump_json(exclude_none=True)
    assert parse(_sdk_json(event)) == event
    contenders = (lambda: encode(event), lambda: event.model_dump_json(exclude_none=True), lambda: _sdk_json(event))
    ours, pydantic, sdk = in_turns(repeats, *(each(work, times, scale=_MICRO) for work in contenders))
    note = "Ours: catalog.encode, which also bounds the size."
    yield Row("event encoded", "µs", ours, "bare pydantic", pydantic, note=f"{note} pydantic: model_dump_json.")
    said = f"{note} SDK: model_dump, a CloudEvent of it, to_json."
    yield Row("event encoded, SDK", "µs", ours, "cloudevents SDK", sdk, note=said)


def _sdk_json(event: AnyEvent) -> bytes:
    attributes = event.model_dump(mode="json", exclude_none=True)
    data = attributes.pop("data")
    return to_json(CloudEvent(attributes, data))
