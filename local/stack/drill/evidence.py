"""Where the proof's evidence comes from: the record by its questions, the home store and the queues by their adapters.

Reads only. May know the clouds' adapters; must not judge what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from local.stack.drill.proof import Evidence, Trail
from local.wiring import TENANT
from shared.core.routes import Route
from shared.errors import Transient

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

    from local.stack.client import Client
    from local.stack.drill.work import Submitted

_PAGE = "1000"
_ANY = 1000
_COUNTED = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
_AWS_QUEUES = ("REVIEWS_QUEUE_URL", "RECORDS_QUEUE_URL", "DEAD_LETTERS_QUEUE_URL")


@dataclass(frozen=True, slots=True)
class Home:
    """The home store and the queues beside it; `before` is what lay in `places` when it was opened."""

    sequence: Callable[[str], int]
    state: Callable[[str], str]
    places: Mapping[str, Callable[[], int]]
    before: Mapping[str, int]

    def left(self) -> dict[str, int]:
        """Count what is still on its way, or came to rest where it should not, since this was opened."""
        return {name: max(0, count() - self.before[name]) for name, count in self.places.items()}


@contextmanager
def opened(facts: Mapping[str, str]) -> Iterator[Home]:
    """Open the home store of a stack whose parts said these facts."""
    import boto3  # noqa: PLC0415  SDKs load when they are needed

    from aws.adapters.dynamo import DynamoOutbox, DynamoTasks  # noqa: PLC0415
    from azure.fabric import wiring as fabric  # noqa: PLC0415

    keys = (facts["AWS_ACCESS_KEY_ID"], facts["AWS_SECRET_ACCESS_KEY"])
    session = boto3.Session(*keys, region_name=facts["AWS_REGION"])
    dynamo, sqs = (session.client(name, endpoint_url=facts["AWS_ENDPOINT_URL"]) for name in ("dynamodb", "sqs"))
    account = facts["AzureWebJobsStorage"]
    azure = {name: fabric.queue(account, name) for name in (Route.REVIEWS.value, f"{Route.REVIEWS.value}-poison")}
    tasks, outbox = DynamoTasks(dynamo, facts["TABLE_NAME"]), DynamoOutbox(dynamo, facts["TABLE_NAME"])
    places: dict[str, Callable[[], int]] = {
        "the outbox": lambda: len(outbox.unsent(limit=_ANY)),
        **{f"the queue behind {name}": _sqs_counter(sqs, facts[name]) for name in _AWS_QUEUES},
        **{f"Azure's queue {name}": _azure_counter(queue) for name, queue in azure.items()},
    }
    try:
        yield Home(
            sequence=lambda entity: tasks.last_sequence(TENANT, entity),
            state=lambda task: tasks.load(TENANT, task).status.value,
            places=places,
            before={name: count() for name, count in places.items()},
        )
    finally:
        for client in (dynamo, sqs, *azure.values()):
            client.close()


def gathered(client: Client, home: Home, submitted: Sequence[Submitted]) -> Evidence:
    """Gather all evidence about what was submitted."""
    entities = sorted({task.entity for task in submitted})
    parked = [row for entity in entities for row in _rows(client, "/parked", "parked", entity=entity)]
    return Evidence(
        trails={entity: _trail(client, entity, home.sequence(entity)) for entity in entities},
        bills={task.task: _rows(client, "/bill", "usage", task=task.task) for task in submitted},
        states={task.task: home.state(task.task) for task in submitted},
        left=home.left() | {"the parked": len(parked)},
    )


def glimpsed(client: Client, submitted: Sequence[Submitted]) -> Evidence:
    """Gather what the record holds in the middle of the work, when nothing is complete yet."""
    entities = sorted({task.entity for task in submitted})
    trails = {entity: Trail(client.history(entity=entity), 0, intact=True, committed=0) for entity in entities}
    return Evidence(trails, {}, {}, {})


def at_rest(client: Client, home: Home, submitted: Sequence[Submitted]) -> bool:
    """Tell whether everything committed is recorded, and nothing is on its way."""
    if any(home.left().values()):
        return False
    entities = {task.entity for task in submitted}
    return all(_verified(client, entity)["checked"] == home.sequence(entity) for entity in entities)


def _trail(client: Client, entity: str, committed: int) -> Trail:
    verified = _verified(client, entity)
    return Trail(client.history(entity=entity), verified["checked"], verified["intact"], committed)


def _verified(client: Client, entity: str) -> dict[str, Any]:
    return _asked(client, "/verify", {"entity": entity})


def _rows(client: Client, path: str, named: str, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked = {"limit": _PAGE} | query
    while True:
        answer = _asked(client, path, asked)
        found += answer[named]
        if answer["next"] is None:
            return found
        asked["after"] = answer["next"]


def _asked(client: Client, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    status, answer = client.ask(path, query)
    if status != HTTPStatus.OK:
        raise Transient(f"the record answered {path} with {status}: {answer.get('detail', '')}")
    return answer


def _sqs_counter(sqs: Any, url: str) -> Callable[[], int]:  # noqa: ANN401  boto3 makes its types
    def count() -> int:
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTED))["Attributes"]
        return sum(int(told[name]) for name in _COUNTED)

    return count


def _azure_counter(queue: QueueClient) -> Callable[[], int]:
    from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415  loads when it is needed

    def count() -> int:
        try:
            return int(queue.get_queue_properties().approximate_message_count or 0)
        except ResourceNotFoundError:  # nothing was ever buried
            return 0

    return count
