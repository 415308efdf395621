"""A task that travels: AWS's door, Azure's review, AWS's pipeline, a human, GCP's record, over real connections."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from local.clouds import aws
from local.review import claims
from tests.local.bridging import clouds
from tests.local.histories import said
from tests.local.stage import ASKING, INVOICE, PERSON, Fabric

if TYPE_CHECKING:
    from pathlib import Path

    from shared.events.catalog import AnyEvent

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

ENTITY = "bill.txt"


def plain(event: AnyEvent) -> dict[str, Any]:
    """Return what an event says wherever and whenever it is said, and who said it as which of the entity's."""
    return said(event) | {"sequence": event.sequence, "source": event.source}


def embedded_history(memory: Fabric) -> list[dict[str, Any]]:
    """Review the document in one process, approved, and return its history."""
    write = memory.engine.documents.write
    submission = {
        "entity": ENTITY,
        "documents": [write(INVOICE.encode(), "text/plain", ENTITY).model_dump(mode="json")],
        "taxonomy": memory.taxonomy(ASKING).model_dump(mode="json"),
    }
    body, headers = json.dumps(submission), {"Idempotency-Key": "key"}
    assert aws.call_api("POST", "/tasks", claims=claims(PERSON), body=body, headers=headers)[0] == 202
    memory.engine.work()
    ((_, listed),) = [memory.call_approvals("GET", "")]
    (waiting,) = listed["approvals"]
    assert memory.decide(waiting["id"], "approved")[0] == 200
    memory.engine.work()
    return [plain(event) for event in memory.told(ENTITY)]


def test_a_task_travels_between_the_clouds_as_it_does_within_one_process(
    memory: Fabric, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A document reviewed across three clouds has, place and time aside, the history it has in the embedded engine."""
    expected = embedded_history(memory)
    with clouds(monkeypatch, tmp_path) as fabric:
        task = fabric.submit(ENTITY, INVOICE, ASKING)
        fabric.settle()
        status, listed = fabric.ask("GET", "/api/approvals")
        (waiting,) = listed["approvals"]
        assert (status, waiting["task"]) == (200, task)
        _, shown = fabric.ask("GET", f"/api/approvals/{waiting['id']}")
        decision = json.dumps({"verdict": "approved", "digest": shown["digest"]})
        assert fabric.ask("POST", f"/api/approvals/{waiting['id']}/decision", decision)[0] == 200
        fabric.settle()
        told = fabric.told(ENTITY)
    assert [plain(event) for event in told] == expected
    assert told[-1].type == "task.completed"
    assert {event.source.split("/")[1] for event in told} == {"aws", "azure"}
    asked = Counter(path.rpartition("/")[2] for path in fabric.paths)
    assert asked["pipelines.run"] == 1
    assert asked["tasks.commit"] == len([event for event in told if event.source != "/aws"]) - 1
