from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from shared.errors import Permanent
from shared.events.catalog import CATALOG, FACTS, AnyEvent, Cause, encode, follow, parse
from shared.events.document import DocumentRef
from shared.events.limits import CLAIM_CHECK, LIMITS
from shared.events.task import TaskAdmitted, TaskPlaced, TaskSubmitted
from tests.events.facts import events

AT = datetime(2025, 6, 1, 12, 30, tzinfo=UTC)
SAMPLE = (Path(__file__).resolve().parents[1] / "samples" / "event.json").read_text(encoding="utf-8")


def sample(**changed: Any) -> dict[str, Any]:
    """Return the canonical event with other fields; a field that is None is left out."""
    fields = {**json.loads(SAMPLE), **changed}
    return {name: value for name, value in fields.items() if value is not None}


def refusal(body: bytes | str) -> tuple[str, str]:
    """Return the code and the place of what is wrong with a body."""
    with pytest.raises(Permanent) as refused:
        parse(body)
    return refused.value.code, refused.value.where


@settings(max_examples=120, deadline=None)
@given(events())
def test_what_is_written_is_read(event: AnyEvent) -> None:
    """Every event the catalog admits is read back exactly as it was written."""
    assert parse(encode(event, "pubsub")) == event


@settings(max_examples=50, deadline=None)
@given(events())
def test_what_is_not_known_is_kept(event: AnyEvent) -> None:
    """Optional fields of a newer release survive being read and written by this one, in envelope and data."""
    raw = json.loads(encode(event, "pubsub"))
    raw["newextension"] = "é"
    raw["data"]["new_field"] = {"b": [2.5, False]}
    again = json.loads(encode(parse(json.dumps(raw)), "pubsub"))
    assert again == raw


def test_the_canonical_event() -> None:
    """The sample that every cloud's envelope carries is an event, written the way we write it, with what came since."""
    event = parse(SAMPLE)
    assert (event.type, event.tenant, event.sequence) == ("task.placed", "acme", 3)
    assert encode(event) == SAMPLE.strip().replace(
        '"documents":3', '"documents":3,"priority":"standard","refused":[],"price_version":""'
    )


def test_every_fact_is_in_the_catalog_once() -> None:
    """Types are dotted, in lower case, past tense by ending, and each belongs to one fact."""
    assert len(CATALOG) == len(FACTS)
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+ed", kind) for kind in CATALOG)


MALFORMED: list[tuple[str, bytes | str, str, str]] = [
    ("empty", b"", "broken-json", ""),
    ("cut off", SAMPLE[:-20], "broken-json", ""),
    ("not UTF-8", b'{"id": "\xff"}', "broken-json", ""),
    ("UTF-16", SAMPLE.encode("utf-16"), "broken-json", ""),
    ("an array", "[]", "broken-json", ""),
    ("a number", "7", "broken-json", ""),
    ("NaN", '{"a": NaN}', "broken-json", ""),
    ("a bottomless pit", "[" * 100_000, "too-deep", ""),
    ("a key twice", '{"id": "a", "id": "b", "type": "x"}', "duplicate-key", ""),
    ("an endless integer", '{"a": ' + "9" * 5000 + "}", "broken-json", ""),
    ("a lone surrogate", json.dumps(sample(subject="\ud800")), "invalid", "body"),
    ("oversize", " " * (LIMITS["pubsub"] + 1), "oversize", ""),
    ("no type", json.dumps(sample(type=None)), "unknown-event-type", "type"),
    ("another type", json.dumps(sample(type="task.exploded")), "unknown-event-type", "type"),
    ("a type that is a list", json.dumps(sample(type=["task.placed"])), "unknown-event-type", "type"),
    ("no version", json.dumps(sample(dataschema=None)), "unknown-version", "dataschema"),
    (
        "a later major version",
        json.dumps(sample(dataschema="urn:agentfabric:task.placed:2")),
        "unknown-version",
        "dataschema",
    ),
    ("version 0", json.dumps(sample(dataschema="urn:agentfabric:task.placed:0")), "unknown-version", "dataschema"),
    (
        "another type's version",
        json.dumps(sample(dataschema="urn:agentfabric:task.failed:1")),
        "unknown-version",
        "dataschema",
    ),
    ("CloudEvents 0.3", json.dumps(sample(specversion="0.3")), "invalid", "specversion"),
    ("no id", json.dumps(sample(id=None)), "invalid", "id"),
    ("an empty id", json.dumps(sample(id="")), "invalid", "id"),
    ("a time without zone", json.dumps(sample(time="2025-06-01T12:30:00")), "invalid", "time"),
    ("a time that is none", json.dumps(sample(time="yesterday")), "invalid", "time"),
    ("another content type", json.dumps(sample(datacontenttype="text/plain")), "invalid", "datacontenttype"),
    ("a tenant in capitals", json.dumps(sample(tenant="ACME")), "invalid", "tenant"),
    ("a tenant with a line feed", json.dumps(sample(tenant="acme\n")), "invalid", "tenant"),
    ("no task", json.dumps(sample(taskid="")), "invalid", "taskid"),
    ("a task that climbs", json.dumps(sample(taskid="../x")), "invalid", "taskid"),
    ("an entity with a NUL", json.dumps(sample(partitionkey="a\x00")), "invalid", "partitionkey"),
    ("an endless entity", json.dumps(sample(partitionkey="a" * 257)), "invalid", "partitionkey"),
    ("sequence 0", json.dumps(sample(sequence=0)), "invalid", "sequence"),
    ("half a sequence", json.dumps(sample(sequence=1.5)), "invalid", "sequence"),
    ("a sequence of more than 32 bits", json.dumps(sample(sequence=2**31)), "invalid", "sequence"),
    ("a broken trace", json.dumps(sample(traceparent="00-xyz")), "invalid", "traceparent"),
    ("no data", json.dumps(sample(data=None)), "invalid", "data"),
    ("data that is text", json.dumps(sample(data="placed")), "invalid", "data"),
    (
        "a field out of shape",
        json.dumps(sample(data={"cloud": "ibm", "reason": "x", "run": 1, "documents": 1})),
        "invalid",
        "data.cloud",
    ),
    (
        "a field missing",
        json.dumps(sample(data={"cloud": "aws", "reason": "x", "run": 1})),
        "invalid",
        "data.documents",
    ),
]


@pytest.mark.parametrize(
    ("body", "code", "where"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_malformed(body: bytes | str, code: str, where: str) -> None:
    """What is no event is refused with a stable code and the place at fault."""
    assert refusal(body) == (code, where)


def test_a_refusal_does_not_quote_the_data() -> None:
    """What is said about a malformed event never repeats a value of its data."""
    with pytest.raises(Permanent) as refused:
        parse(json.dumps(sample(data={"cloud": "the document's own words", "reason": 7})))
    assert "own words" not in str(refused.value)
    assert "and 3 more" in str(refused.value)


def test_wrong_tenant() -> None:
    """An event is refused where another tenant's is expected."""
    assert parse(SAMPLE, tenant="acme").tenant == "acme"
    with pytest.raises(Permanent, match=r"tenant: event belongs to 'acme', not to 'other'") as refused:
        parse(SAMPLE, tenant="other")
    assert refused.value.code == "wrong-tenant"


@pytest.mark.parametrize("transport", LIMITS)
def test_limits(transport: Any) -> None:
    """What a producer may write fits every transport; one byte more than a transport carries is refused there."""
    cause = Cause("c", "acme", "t", "e", "s")
    (empty,) = follow(cause, [TaskAdmitted(budget_micro_usd=0, reason="")], after=0, at=AT)
    room = LIMITS[transport] - len(encode(empty))
    fits, over = (
        follow(cause, [TaskAdmitted(budget_micro_usd=0, reason="x" * length)], after=0, at=AT)[0]
        for length in (room, room + 1)
    )
    assert len(encode(fits, transport)) == LIMITS[transport] >= CLAIM_CHECK
    with pytest.raises(Permanent, match=f"{LIMITS[transport] + 1} bytes are more than"):
        encode(over, transport)


def test_limits_count_bytes() -> None:
    """A limit counts bytes, not characters."""
    (event,) = follow(
        Cause("c", "acme", "t", "e", "s"), [TaskAdmitted(budget_micro_usd=0, reason="é" * 40_000)], after=0, at=AT
    )
    with pytest.raises(Permanent) as refused:
        encode(event)
    assert refused.value.code == "oversize"


def test_what_follows_is_numbered_and_named_by_its_cause() -> None:
    """Facts that follow a cause continue its trace and its entity's numbers, under ids anybody can derive again."""
    cause = Cause.of(parse(SAMPLE), "agentfabric/tests")
    said = [TaskPlaced(cloud="aws", reason="x", run=1, documents=1), TaskAdmitted(budget_micro_usd=1, reason="x")]
    first, second = follow(cause, said, after=3, at=AT)
    assert [first.sequence, second.sequence] == [4, 5]
    assert first.id != second.id
    assert {event.causationid for event in (first, second)} == {cause.id}
    assert {event.traceparent for event in (first, second)} == {cause.traceparent}
    assert follow(cause, said, after=3, at=AT) == (first, second)


@pytest.mark.parametrize(
    ("name", "value"), [("type", "x" * 100_000), ("type", ["x"] * 100_000), ("dataschema", "y" * 100_000)]
)
def test_what_a_stranger_wrote_is_repeated_in_part(name: str, value: object) -> None:
    """A refusal shows at most 80 characters of a value that is wrong, however long it is."""
    with pytest.raises(Permanent) as refused:
        parse(json.dumps(sample(**{name: value})))
    assert len(str(refused.value)) < 600
    assert "x" * 81 not in str(refused.value)
    assert "y" * 81 not in str(refused.value)


@pytest.mark.parametrize("number", ["9" * 5000, "٢", "+1", "1_0", "01", " 1"])
def test_a_version_is_a_plain_number(number: str) -> None:
    """A version that Python might take for a number, or trip over, is no version."""
    assert refusal(json.dumps(sample(dataschema=f"urn:agentfabric:task.placed:{number}"))) == (
        "unknown-version",
        "dataschema",
    )


def test_advice_on_what_is_too_large() -> None:
    """A submission of too many references is not told to send references; any other event is."""
    ref = DocumentRef(uri="file:///" + "a" * 2000, sha256="0" * 64, size=1)
    submitted = TaskSubmitted(
        workflow="document-review", documents=(ref,) * 25, taxonomy=ref, submitted_by="ann", budget_micro_usd=1
    )
    facts = [submitted, TaskAdmitted(budget_micro_usd=0, reason="x" * CLAIM_CHECK)]
    submission, other = follow(Cause("c", "acme", "t", "e", "s"), facts, after=0, at=AT)
    with pytest.raises(Permanent, match="send fewer or shorter references, or split the task"):
        encode(submission)
    with pytest.raises(Permanent, match="send a reference instead"):
        encode(other)
