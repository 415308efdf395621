from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local.stack import sockets, state
from local.stack.functions.queues import Polling
from local.stack.parts.azurite import PART as AZURITE
from tests.local.stack.conftest import need
from tests.local.stack.serving import eventually, functions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local.stack.conftest import MakeSupervisor


@pytest.fixture
def words(supervise: MakeSupervisor, folder: Path) -> Iterator[QueueClient]:
    """Serve the queue app beside Azurite and return a client of its queue."""
    need(AZURITE)
    supervise(AZURITE, functions("queue_app", ("azurite",))).up()
    account = state.facts(folder)["AzureWebJobsStorage"]
    with QueueClient.from_connection_string(account, "words", message_encode_policy=TextBase64EncodePolicy()) as client:
        client.create_queue()
        yield client


def heard(folder: Path) -> list[str]:
    """Return what the app wrote down."""
    file = folder / "data" / "functions" / "heard"
    return file.read_text().splitlines() if file.exists() else []


def test_a_message_is_heard_once_and_gone(words: QueueClient, folder: Path) -> None:
    """A message in the queue reaches the function, decoded, and leaves the queue."""
    words.send_message("grüezi")
    assert eventually(lambda: heard(folder) == ["grüezi 1"])
    assert eventually(lambda: words.get_queue_properties().approximate_message_count == 0)


def test_poison_is_tried_and_put_aside(words: QueueClient, folder: Path) -> None:
    """A message that always fails is delivered as often as host.json says, then lies in the poison queue as it came."""
    words.send_message("poison")
    words.send_message("after")
    account = state.facts(folder)["AzureWebJobsStorage"]
    with QueueClient.from_connection_string(account, "words-poison") as aside:
        assert eventually(lambda: contents(aside) == ["poison"])
    assert [line for line in heard(folder) if "poison" in line] == ["poison 1", "poison 2", "poison 3"]
    assert "after 1" in heard(folder)
    assert words.get_queue_properties().approximate_message_count == 0


def test_what_is_not_base64_is_poison_at_once(words: QueueClient, folder: Path) -> None:
    """A message nobody can decode goes to the poison queue without troubling the function."""
    assert words.queue_name == "words"
    account = state.facts(folder)["AzureWebJobsStorage"]
    with QueueClient.from_connection_string(account, "words") as plain:
        plain.send_message("not base64!")
    with QueueClient.from_connection_string(account, "words-poison") as aside:
        assert eventually(lambda: contents(aside, encoded=False) == ["not base64!"])
    assert heard(folder) == []


def test_other_triggers_are_run_by_hand(words: QueueClient, folder: Path) -> None:  # noqa: ARG001  serves the app
    """The admin endpoint hands a message to a queue's function and lets a timer tick, answering 202."""
    port = state.load(folder).entries["functions"].ports["http"]
    assert sockets.ask(port, "POST", "/admin/functions/hear", '{"input": "by hand"}')[0] == 202
    assert sockets.ask(port, "POST", "/admin/functions/nightly", "{}")[0] == 202
    assert eventually(lambda: sorted(heard(folder)) == ["by hand 1", "tick False"])


def contents(queue: QueueClient, *, encoded: bool = True) -> list[str]:
    """Return what lies in a queue, which may not exist yet."""
    try:
        found = [str(message.content) for message in queue.peek_messages(max_messages=32)]
    except Exception as error:
        if getattr(error, "status_code", None) != 404:
            raise
        return []
    return [base64.b64decode(text).decode() for text in found] if encoded else found


def test_host_json_is_read_with_the_hosts_defaults(tmp_path: Path, root: Path) -> None:
    """What host.json leaves out has the Functions host's defaults, and ours is read with its time spans."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    assert Polling.read(tmp_path / "host.json") == Polling(16, 5, 60.0, 0.0, encoded=True)
    assert Polling.read(root / "host.json") == Polling(16, 5, 2.0, 10.0, encoded=True)
