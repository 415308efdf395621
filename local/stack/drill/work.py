"""The work that goes on while parts are killed: submit everything, follow the record, approve what waits.

Knows the fabric as its clients do; must not know processes.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING

from local.stack.demo import ROLES
from local.told import Seen
from shared.core.taxonomy import parse_taxonomy
from shared.core.workflow import DOCUMENT_REVIEW
from shared.errors import Permanent
from shared.events.ids import derive

if TYPE_CHECKING:
    from local.stack.client import Client
    from local.stack.drill.corpus import Batch, Document
    from shared.events.document import DocumentRef
    from shared.ports import Documents

_PERSON = "drill"
_AT_ONCE = 8  # documents under way: each is a process on the local AWS
_AT_A_LOOK = 16
_PAUSE_SECONDS = 0.2
_PATIENCE_SECONDS = 240.0
_OVER = ("task.completed", "task.failed", "task.cancelled", "task.rejected")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A task that the API accepted."""

    task: str
    entity: str
    documents: int


@dataclass
class Work:
    """A thread that works on `batches`; `done` documents have been seen to end, and never fewer than before."""

    client: Client
    batches: Iterable[Batch]
    patience: float = _PATIENCE_SECONDS
    pause: float = _PAUSE_SECONDS
    submitted: list[Submitted] = field(default_factory=list)
    failure: BaseException | None = None
    _ended: dict[str, int] = field(default_factory=dict)
    _approved: set[str] = field(default_factory=set)
    _moved: threading.Condition = field(default_factory=threading.Condition)
    _over: bool = False
    _at: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._to_the_end, name="drill-work", daemon=True)
        self._thread.start()

    def wait_for(self, done: int) -> int:
        """Wait until so many documents have ended, or all the work has; return how many it is."""
        with self._moved:
            self._moved.wait_for(lambda: self._over or self.done >= done)
            return self.done

    def join(self) -> None:
        """Wait for the end of the work, and raise what ended it early."""
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    @property
    def done(self) -> int:
        """How many documents have been seen to end."""
        return sum(self._ended.values())

    def _to_the_end(self) -> None:
        try:
            with self.client.documents() as documents:
                self._work_through(documents)
        except BaseException as error:  # noqa: BLE001  it is raised where the work is waited for
            self.failure = error
        finally:
            with self._moved:
                self._over = True
                self._moved.notify_all()

    def _work_through(self, documents: Documents) -> None:
        """Submit as many as may be under way, and look at those in turn, until all are over or nothing moves."""
        left, batches = deque[Submitted](), deque(self.batches)
        while batches or left:
            while batches and self._under_way < _AT_ONCE:
                left.append(self._submit(batches.popleft(), documents))
                self.submitted.append(left[-1])
                self._note_progress()
            for task in list(islice(left, _AT_A_LOOK)):
                left.popleft()
                if not self._look_at(task):
                    left.append(task)
            if time.monotonic() - self._at > self.patience:
                return  # the proof tells what is missing
            time.sleep(self.pause)

    @property
    def _under_way(self) -> int:
        return sum(task.documents for task in self.submitted) - self.done

    def _submit(self, batch: Batch, documents: Documents) -> Submitted:
        refs = [_stored(document, documents) for document in batch.documents]
        taxonomy = documents.write(batch.taxonomy.encode(), "application/toml", parse_taxonomy(batch.taxonomy).name)
        body = {
            "workflow": DOCUMENT_REVIEW.name,
            "entity": batch.entity,
            "documents": [ref.model_dump(mode="json") for ref in refs],
            "taxonomy": taxonomy.model_dump(mode="json"),
        }
        text = json.dumps(body)
        key = {"Idempotency-Key": derive("drill", text)}
        status, answer = self.client.call_api("POST", "/tasks", person=_PERSON, body=text, headers=key)
        if status != HTTPStatus.ACCEPTED:
            raise Permanent(f"a task was refused with {status}: {answer.get('detail', '')}", code="refused")
        return Submitted(answer["id"], batch.entity, len(refs))

    def _look_at(self, task: Submitted) -> bool:
        """Note how far a task is, and approve what waits; return whether it is over."""
        events = self.client.history(task=task.task)
        seen = Seen((event["type"], event["data"]) for event in events)
        if len(seen.ends) > self._ended.get(task.task, 0):
            self._ended[task.task] = len(seen.ends)
            self._note_progress()
        for position in seen.asked.keys() - seen.answered:
            self._approve(seen.asked[position]["approval"])
        return bool(events) and events[-1]["type"] in _OVER

    def _approve(self, approval: str) -> None:
        if approval in self._approved:
            return
        path = f"/api/approvals/{approval}"
        status, shown = self.client.call("GET", path, person=_PERSON, roles=ROLES)
        if status == HTTPStatus.OK:
            body = json.dumps({"verdict": "approved", "digest": shown["digest"]})
            status, shown = self.client.call("POST", f"{path}/decision", person=_PERSON, roles=ROLES, body=body)
        if status != HTTPStatus.OK:
            raise Permanent(f"{path} answered {status}: {shown.get('detail', '')}", code="not-approved")
        self._approved.add(approval)
        self._note_progress()

    def _note_progress(self) -> None:
        with self._moved:
            self._at = time.monotonic()
            self._moved.notify_all()


def _stored(document: Document, documents: Documents) -> DocumentRef:
    return documents.write(document.content, "text/plain", document.name)
