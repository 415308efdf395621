"""Recording spans where work happens: admissions, attempts at steps, calls of models, waits, and tasks as a whole.

Costs microseconds where somebody looks at spans and nothing where nobody does, reads no clock but the ports', and can
make no work fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from shared.core import spans
from shared.core.spans import CHAT, PROVIDERS, Facts, Span
from shared.errors import FabricError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from shared.app.calls import Out, Said
    from shared.app.purse import Paid, Terms
    from shared.core.approval import Approval
    from shared.core.task import Task
    from shared.ports import Ports, Spans


def fault_of(error: BaseException | None) -> str:
    """Return an error's code, or the name of its type; never its message, which may quote a document."""
    if error is None:
        return ""
    code = getattr(error, "code", "") if isinstance(error, FabricError) else ""
    return code if isinstance(code, str) and code else type(error).__name__


class Measured:
    """A piece of work as a `with` block, recorded when it ends; `span` is told from when to when, and its fault."""

    __slots__ = ("_began", "_ports", "_span")

    def __init__(self, ports: Ports, span: Callable[[float, float, str], Span]) -> None:
        self._ports = ports
        self._span = span
        self._began = 0.0

    def __enter__(self) -> None:
        if self._ports.spans is not None:
            self._began = self._ports.now().timestamp()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._ports.spans is not None:
            ended = self._ports.now().timestamp()
            self._ports.spans.record(self._span(self._began, ended, fault_of(error)))


def answered(to: Spans, terms: Terms, out: Out, took: tuple[float, float], said: Said, paid: Paid, cost: int) -> None:
    """Record a call that was answered; an answer that will not do is its fault."""
    used, facts = said.completion.usage, _asked(terms, out)
    facts["gen_ai.usage.input_tokens"] = used.tokens_in
    facts["gen_ai.usage.output_tokens"] = used.tokens_out
    facts["agentfabric.outcome"] = paid
    facts["agentfabric.cost_micro_usd"] = cost
    to.record(_called(terms, out, took, "bad-answer" if said.fault else "", facts))


def unanswered(to: Spans, terms: Terms, out: Out, took: tuple[float, float], error: BaseException, cost: int) -> None:
    """Record a call that ended without an answer; one that is charged all the same may have been served."""
    facts = _asked(terms, out)
    facts["agentfabric.outcome"] = "unknown" if cost else "released"
    facts["agentfabric.cost_micro_usd"] = cost
    to.record(_called(terms, out, took, fault_of(error), facts))


def _asked(terms: Terms, out: Out) -> Facts:
    route = out.route
    return {
        "gen_ai.operation.name": CHAT,
        "gen_ai.provider.name": PROVIDERS.get(route.provider, route.provider),
        "gen_ai.request.model": route.model,
        "gen_ai.request.max_tokens": out.prompt.max_output_tokens,
        "agentfabric.tenant": terms.tenant,
        "agentfabric.task": terms.task,
        "agentfabric.document": terms.document,
        "agentfabric.step": terms.step,
        "agentfabric.attempt": terms.attempt,
        "agentfabric.deployment": route.name,
        "agentfabric.kind": out.kind,
    }


def _called(terms: Terms, out: Out, took: tuple[float, float], fault: str, facts: Facts) -> Span:
    # A draw that was taken back is drawn again for the next one who is asked: its name alone would not tell them apart.
    about = f"{terms.within}/{out.ticket.id}/{out.number}"
    return Span(terms.task, about, terms.within or terms.task, f"{CHAT} {out.route.model}", *took, fault, facts)


def moved(ports: Ports, before: Task | None, after: Task, approvals: Sequence[Approval] = ()) -> None:
    """Record what a commit brought to its end: an admission, a wait, decisions that were owed, the task as a whole."""
    if ports.spans is None:
        return
    ended: list[Callable[[float], Span]] = []
    if before is None:
        ended.append(partial(spans.of_admission, after))
    elif before.parked_at is not None and after.parked_at is None:
        ended.append(partial(spans.of_wait, before, before.parked_at.timestamp()))
    ended += [partial(spans.of_approval, approval) for approval in approvals if approval.status != "pending"]
    if after.over and not (before is not None and before.over):
        ended.append(partial(spans.of_task, after))
    if ended:
        now = ports.now().timestamp()
        for span in ended:
            ports.spans.record(span(now))


@dataclass(slots=True)
class Recorder:
    """The `Spans` port in this process: keeps up to `most` until somebody takes them, and counts those beyond."""

    most: int = 10_000
    _spans: list[Span] = field(default_factory=list)
    _lost: int = 0
    _lock: Lock = field(default_factory=Lock)

    def record(self, span: Span) -> None:
        """Keep the span, if there is room."""
        with self._lock:
            if len(self._spans) < self.most:
                self._spans.append(span)
            else:
                self._lost += 1

    @property
    def waiting(self) -> int:
        """How many spans wait to be taken."""
        return len(self._spans)

    def take(self) -> tuple[list[Span], int]:
        """Return what was recorded, and how many spans found no room; forget both."""
        with self._lock:
            taken, self._spans = self._spans, []
            lost, self._lost = self._lost, 0
        return taken, lost
