"""The staged source, served as in the cloud, between the real Pub/Sub and Spanner emulators."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import subprocess
import sys
import sysconfig
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from gcp.adapters.pubsub import PubsubBus
from shared.app.record import verify
from shared.core.routes import Route
from shared.events.catalog import encode
from tests.contracts.records_contract import Entity
from tests.gcp.databases import SpannerStore, spanner_store
from tests.gcp.emulators import environment, free_port, pubsub_settings, running, wait_for
from tests.gcp.pushes import push_of
from tests.gcp.topics import topic_with_push
from tools import package

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage the source that gcloud would upload."""
    folder = tmp_path_factory.mktemp("staged") / "gcp"
    package.stage("gcp", folder)
    return folder


@contextmanager
def serving(staged: Path, target: str, settings: Mapping[str, str]) -> Iterator[int]:
    """Serve a function of the staged source in an interpreter that knows nothing of this checkout; yield its port.

    Other tests leave the ports of a laptop in this process's environment.
    """
    port = free_port()
    words = ["--source", str(staged / "main.py"), "--target", target, "--host", "127.0.0.1", "--port", str(port)]
    alone = {"PYTHONPATH": sysconfig.get_path("purelib"), "GUNICORN_LOG_LEVEL": "info", "AGENTFABRIC_PORTS": ""}
    alone |= settings
    with running([sys.executable, "-S", "-m", "functions_framework", *words], "Listening at", alone, staged.parent):
        yield port


@pytest.fixture(scope="module")
def cloud(staged: Path) -> Iterator[tuple[SpannerStore, PubsubBus, int]]:
    """Run both emulators and `record` between them."""
    with ExitStack() as stack:
        store, spanner = stack.enter_context(spanner_store())
        pubsub = stack.enter_context(pubsub_settings())
        stack.enter_context(environment(pubsub))
        port = stack.enter_context(serving(staged, "record", {**spanner, "AGENTFABRIC_AUTH": "none"}))
        yield store, topic_with_push(f"http://127.0.0.1:{port}/"), port


def test_published_events_become_the_record(cloud: tuple[SpannerStore, PubsubBus, int]) -> None:
    """Events of several entities, published in order with some twice, end as each entity's exact record."""
    store, bus, _ = cloud
    entities = [Entity() for _ in range(5)]
    said = {mine.name: mine.events(12) for mine in entities}
    messages = [(Route.RECORDS, event) for step in zip(*said.values(), strict=True) for event in step]
    bus.publish(messages)
    bus.publish(random.Random(3).sample(messages, 10))
    records = store.records()
    wait_for(lambda: all(records.head("acme", mine.name).last == 12 for mine in entities))
    for name, events in said.items():
        assert [row.body for row in records.history("acme", entity=name)] == [encode(event) for event in events]
        assert verify(store.ports(), "acme", name).broken is None
        assert [row.sequence for row in records.bill("acme") if row.entity == name] == [4, 8, 12]


def test_published_poison_holds_its_entity_back_alone(cloud: tuple[SpannerStore, PubsubBus, int]) -> None:
    """An unreadable message under an ordering key is acknowledged, so that later messages still arrive."""
    store, bus, _ = cloud
    held, free = Entity(), Entity()
    first, _, third = held.events(3)
    bus.publish([(Route.RECORDS, first)])
    named = {"tenant": held.tenant, "partitionkey": held.name, "sequence": "2"}
    bus._client.publish(bus._topic, b"\x00", ordering_key=held.name, **named).result(timeout=10)
    bus.publish([(Route.RECORDS, event) for event in (third, *free.events(3))])
    records = store.records()
    wait_for(lambda: len(records.parked("acme", entity=held.name)) == 2)
    wait_for(lambda: records.head("acme", free.name).last == 3)
    assert [(item.sequence, item.cause) for item in records.parked("acme", entity=held.name)] == [
        (2, "poison"),
        (3, "gap"),
    ]
    assert records.head("acme", held.name).last == 1


def test_a_body_of_unknown_length(cloud: tuple[SpannerStore, PubsubBus, int]) -> None:
    """A chunked request is read to its end, and no further than any push is long."""
    store, _, port = cloud
    mine = Entity()
    whole = json.dumps(push_of(mine.events(1)[0])).encode()
    assert chunked(port, [whole[:100], whole[100:]]) == 204
    assert store.records().head("acme", mine.name).last == 1
    assert chunked(port, [b" " * 1024 * 1024] * 17) == 413


def chunked(port: int, chunks: list[bytes]) -> int:
    """Post chunks; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            "POST", "/", body=iter(chunks), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_gcloud_uploads(staged: Path) -> None:
    """The staged folder has what gcloud asks for at its root, and uploads no test, note or cache."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        pytest.skip("gcloud is not installed here: see Google's instructions for the Google Cloud SDK")
    done = subprocess.run(
        [gcloud, "meta", "list-files-for-upload", str(staged)], capture_output=True, text=True, check=True
    )
    files = set(done.stdout.split())
    assert {"main.py", "requirements.txt", "gcp/handlers.py", "shared/app/record.py"} <= files
    assert {file.split("/")[0] for file in files} == {"main.py", "requirements.txt", "gcp", "shared"}
    assert not [file for file in files if "test" in file or "__pycache__" in file or file.endswith((".md", ".sql"))]
