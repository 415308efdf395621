from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import Permanent
from shared.events.catalog import FACTS, encode, parse
from shared.events.upcast import UPCASTS, upcast
from tests.events.test_catalog import sample

DOCUMENT = {"uri": "file:///a", "sha256": "0" * 64, "size": 1}


def submitted(version: int, **data: Any) -> str:
    """Return a submission as a release with that version wrote it."""
    common = {"workflow": "document-review", "taxonomy": DOCUMENT, "submitted_by": "ann", "budget_micro_usd": 5}
    schema = f"urn:agentfabric:task.submitted:{version}"
    return json.dumps(sample(type="task.submitted", dataschema=schema, data=common | data))


def test_the_older_version_is_lifted() -> None:
    """A submission of version 1 named one document and is read as one that lists it."""
    event = parse(submitted(1, document=DOCUMENT))
    assert [document.uri for document in event.data.documents] == ["file:///a"]
    assert event == parse(submitted(2, documents=[DOCUMENT]))


def test_what_was_lifted_is_written_as_the_current_version() -> None:
    """A lifted event is written in the current version, with what the older one did not know kept."""
    raw = json.loads(encode(parse(submitted(1, document=DOCUMENT, hint="kept"))))
    assert raw["dataschema"] == "urn:agentfabric:task.submitted:2"
    assert raw["data"]["hint"] == "kept"
    assert "document" not in raw["data"]


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        (submitted(1), "invalid", "data.document"),
        (submitted(1, document={"uri": "x"}), "invalid", "data.documents.0.uri"),
        (submitted(2, document=DOCUMENT), "invalid", "data.documents"),
        (submitted(3, documents=[DOCUMENT]), "unknown-version", "dataschema"),
    ],
)
def test_what_cannot_be_lifted(body: str, code: str, where: str) -> None:
    """An older version out of shape and a version nobody knows are refused by code and place."""
    with pytest.raises(Permanent) as refused:
        parse(body)
    assert (refused.value.code, refused.value.where) == (code, where)


def test_every_older_version_has_a_way_up() -> None:
    """From each version that was ever current there is a step to the next."""
    missing = {(fact.type, old) for fact in FACTS for old in range(1, fact.version)} - set(UPCASTS)
    assert not missing


def test_a_version_without_a_way_up() -> None:
    """A version that is too old to be lifted is refused as unknown."""
    with pytest.raises(Permanent, match="can no longer be read"):
        upcast("task.placed", 1, 2, {})
