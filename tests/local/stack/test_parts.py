from __future__ import annotations

import base64
import json
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest

from local.stack import processes, sockets, state
from local.stack.parts import all_parts
from tests.local.stack.conftest import need
from tests.local.stack.serving import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.stack.conftest import MakeSupervisor

PARTS = {part.name: part for part in all_parts()}
# Everything that needs no deployment; `deploy` has a test of its own.
ALONE = ("collector", "identity", "azurite", "ministack", "spanner", "pubsub", "record", "query")


@pytest.mark.parametrize("name", ALONE)
def test_a_part_comes_up_and_goes_down(supervise: MakeSupervisor, folder: Path, name: str) -> None:
    """Each part comes up with all it needs, on loopback ports of its own, and goes down leaving no process."""
    wanted = _with_needs(name)
    need(*(PARTS[one] for one in wanted))
    started = supervise(*all_parts()).up([name])
    assert set(started.running) == wanted
    current = state.load(folder)
    ports = [port for one in wanted for port in current.entries[one].ports.values()]
    assert all(map(sockets.listens, ports))
    groups = [entry.process for entry in current.entries.values() if entry.process]
    supervise(*all_parts()).down()
    assert [processes.members(group) for group in groups] == [[] for _ in groups]
    assert processes.marked(current.mark) == []
    assert not any(map(sockets.listens, ports))


def _with_needs(name: str) -> set[str]:
    return {name}.union(*(_with_needs(one) for one in PARTS[name].needs))


def test_a_pushed_event_is_recorded(supervise: MakeSupervisor, folder: Path, root: Path) -> None:
    """An event published by hand arrives by push at the recorder, and the query finds it in Spanner."""
    need(*(PARTS[one] for one in ("spanner", "pubsub", "record", "query")))
    supervise(*all_parts()).up(["record", "query"])
    facts, current = state.facts(folder), state.load(folder)
    event = json.loads((root / "tests" / "samples" / "event.json").read_text()) | {"sequence": 1}
    _publish(current.entries["pubsub"].ports["http"], facts["AGENTFABRIC_TOPIC"], json.dumps(event))
    asked = f"{facts['QUERY_URL']}/events?{urlencode({'entity': event['partitionkey']}, quote_via=quote)}"
    assert eventually(lambda: _events(asked) == [event["id"]])


def _publish(port: int, topic: str, text: str) -> None:
    message = {"data": base64.b64encode(text.encode()).decode(), "orderingKey": "by-hand"}
    status, _ = sockets.ask(port, "POST", f"/v1/{topic}:publish", json.dumps({"messages": [message]}), seconds=10)
    assert status == 200


def _events(url: str) -> list[str]:
    request = urllib.request.Request(url, headers={"X-Agentfabric-Tenant": "acme"})  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
        return [row["event"]["id"] for row in json.load(answer)["events"]]
