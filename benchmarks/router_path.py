"""The whole path of a model call without the call: granted, routed, drawn, answered, settled, billed, told, traced.

Everything that decides is the product's own, from `grant` to `finish`; its rows lie in memory, and the model answers
at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.material import NOON, PERSON, TENANT
from shared.app import admission
from shared.app.learned import Learned
from shared.app.leases import lease_id
from shared.app.paying import LeasePurse, models_for
from shared.app.purse import Kept, Terms, Ticket
from shared.app.recent import Recent
from shared.app.router import Router
from shared.app.tracing import Measured, Recorder, moved
from shared.core import caching, draws, notes, stepping
from shared.core.completion import Completion, NoAnswer, Prompt, Usage
from shared.core.draws import DrawAsk, Outcome
from shared.core.granting import Ask, Grant
from shared.core.journal import Entry
from shared.core.ledger import Account, Draw, Lease, Posting
from shared.core.policy import Policy, TenantPolicy
from shared.core.routing import Candidate
from shared.core.spans import attempt, of_attempt
from shared.core.task import Progress, Status, Task
from shared.core.workflow import workflow
from shared.errors import Conflict
from shared.events.catalog import Cause, encode, follow
from shared.events.document import DocumentRef
from shared.events.task import TaskAdmitted
from shared.events.usage import UsageMetered
from shared.ports import Ports, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.app.purse import Paid
    from shared.events.envelope import Fact
    from shared.events.routing import ModelRouted
LABELS = ("Apache-2.0", "BSD-3-Clause", "MIT")
DOWN = "reserved-a"  # asked first by everybody
WORST = 20_000  # micro-USD that a run may cost
_AMPLE = 10**12
_BREAKS_AFTER = 4  # failures in a row; one more opens a deployment's breaker, and it would not be asked
_TOKENS = 16_512  # that a run may send and receive
_FLOW = workflow("document-review")
_STEP = _FLOW.step("classify")
_Row = TypeVar("_Row", Account, Lease, Draw)
_ANSWER = {"label": "MIT", "score": 0.97}
_SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": list(LABELS)},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["label", "score"],
}
_INSTRUCTION = "Say which of the classes the text belongs to: the one it is, not one it only mentions."
TEXT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated"
    " documentation files, to deal in the software without restriction. "
) * 6


_REF = DocumentRef(uri=f"blob:{64 * '0'}", sha256=64 * "0", size=len(TEXT), media_type="text/plain", name="LICENSE")
_TASK = Task(
    id="task",
    tenant=TENANT,
    entity="package:example",
    workflow=_FLOW.name,
    documents=(_REF,),
    taxonomy=_REF,
    may_ask=False,
    budget=WORST,
    submitted_by=PERSON,
    submitted_at=NOON,
    status=Status.RUNNING,
    progress=(Progress.RUNNING,),
)
_ENTRY = Entry(tenant=TENANT, task="task", document=0, step=_STEP.name, tool=_STEP.tool, input_sha256=_REF.sha256)


def candidates() -> dict[str, Candidate]:
    """Return eight deployments: six that may answer, of which two are reserved, one too far away, one too small."""
    made = [
        _candidate(DOWN, kind="provisioned", tokens_in=150_000, tokens_out=600_000),
        _candidate("reserved-b", kind="provisioned", tokens_in=400_000, tokens_out=1_600_000),
        *(_candidate(f"demand-{number}", tokens_in=100_000 + number) for number in range(4)),
        _candidate("overseas", data_zone="us"),
        _candidate("little", context=400),
    ]
    return {one.name: one for one in made}


def _candidate(name: str, **told: Any) -> Candidate:  # noqa: ANN401  a candidate's fields
    limits = {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000_000}
    common = {"provider": "openai", "model": "gpt-4o-mini", "tokens_in": 150_000, "tokens_out": 600_000}
    return Candidate.model_validate({"name": name, "data_zone": "eu", **common, **limits, **told})


def policy() -> Policy:
    """Return a policy under which a benchmark's tenant is let through by limits that are checked all the same."""
    tenant = TenantPolicy(
        requests_per_minute=_AMPLE,
        request_burst=_AMPLE,
        tokens_per_minute=_AMPLE,
        token_burst=_AMPLE,
        max_runs=_AMPLE,
        daily_budget=_AMPLE,
        monthly_budget=_AMPLE,
        data_zone="eu",
    )
    return Policy(version="benchmark", tenants={TENANT: tenant}, candidates=candidates())


class Rows:
    """The `Ledger` port in memory, as far as the path needs it."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.leases: dict[str, Lease] = {}
        self.draws: dict[str, Draw] = {}

    def account(self, tenant: str) -> Account:
        """Return the account."""
        return self.accounts.get(tenant) or Account(tenant)

    def lease(self, _: str, lease: str) -> Lease | None:
        """Return the lease."""
        return self.leases.get(lease)

    def draw(self, _: str, __: str, draw: str) -> Draw | None:
        """Return the draw."""
        return self.draws.get(draw)

    def post(self, posting: Posting) -> None:
        """Write all rows or none."""
        account, lease, draw = posting
        if account is not None:
            _follows(self.accounts.get(account.tenant), account)
        if lease is not None:
            _follows(self.leases.get(lease.id), lease)
        if draw is not None:
            _follows(self.draws.get(draw.id), draw)
            self.draws[draw.id] = draw
        if lease is not None:
            self.leases[lease.id] = lease
        if account is not None:
            self.accounts[account.tenant] = account


def _follows(before: _Row | None, row: _Row) -> None:
    if row.version != (before.version if before else 0) + 1:
        raise Conflict("the row is not what it was")


class _NoneParked:
    """The `Tasks` port of a fabric in which nothing waits."""

    def parked(self, **_: int) -> tuple[()]:
        return ()


class _Unwritten:
    """The `Settings` port of operators who have written nothing."""

    def read(self, name: str) -> Setting:
        return Setting(name)

    def write(self, setting: Setting) -> None:
        raise Conflict(f"{setting.name} stays as it is here")


@dataclass
class _Model:
    """The `Models` port: answers at once, but for a deployment that is down."""

    down: str

    def complete(self, prompt: Prompt) -> Completion:
        if prompt.deployment == self.down:
            raise NoAnswer("503", code="server-error", served=False)
        return Completion(_ANSWER, Usage("gpt-4o-mini", prompt.tokens_in, 20))


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Pocket:
    """One run's money, drawn from its lease by the ledger's decisions, rows in memory."""

    rows: Rows
    lease: str
    step: str
    now: Callable[[], datetime]
    notes: list[Fact] = field(default_factory=list)
    paid: list[Draw] = field(default_factory=list)
    _question: str = ""

    def left(self) -> int:
        """Return what may still be put aside."""
        lease = self.rows.leases[self.lease]
        return lease.amount - lease.settled - lease.held

    def found(self, prompt: Prompt) -> Kept | None:
        """Return the answer that the journal has to this question."""
        self._question = caching.key(prompt, "")
        found = self.rows.draws.get(f"{self.lease}.{self._question}")
        return Kept(*caching.read(found.answer)) if found is not None and found.answer else None

    def draw(self, _: Prompt, routed: ModelRouted) -> Ticket:
        """Put a call's worst case aside: the intent is in the journal, and why."""
        name, now, worst = f"{self.lease}.{self._question}", self.now(), routed.worst_micro_usd
        why = routed.model_copy(update={"call": name, "at": now})
        asked = DrawAsk(
            *(name, 0, self.step, routed.deployment, worst, self._question, now.timestamp(), 30.0),
            note=notes.kept([why]),
        )
        posted = draws.draw(self.rows.leases[self.lease], self.rows.draws.get(name), asked)
        self.rows.post(posted)
        if posted.draw is not None:
            self.notes.append(why.model_copy(update={"left_micro_usd": posted.draw.remaining}))
        return Ticket(name, routed.deployment, worst)

    def settle(self, ticket: Ticket, completion: Completion, cost: int, paid: Paid) -> None:
        """Pay what was used, and keep the answer in the journal."""
        used = completion.usage
        answer = "" if paid == "failed" else caching.kept(completion, cost)
        lease, drawn = self._rows(ticket)
        settled = draws.settle(None, lease, drawn, Outcome(cost, used.tokens_in, used.tokens_out, answer))
        self.rows.post(settled)
        self.paid.append(self.rows.draws[ticket.id])

    def unknown(self, ticket: Ticket) -> None:
        """Pay the worst case."""
        self.rows.post(draws.unknown(*self._rows(ticket)))

    def release(self, ticket: Ticket) -> None:
        """Take it back."""
        self.rows.post(draws.release(None, *self._rows(ticket)))

    def note(self, fact: Fact) -> None:
        """Keep what was decided and why."""
        self.notes.append(fact)

    def _rows(self, ticket: Ticket) -> tuple[Lease, Draw]:
        return self.rows.leases[self.lease], self.rows.draws[ticket.id]


class Desk:
    """Where calls are asked for. Keeps what was recorded until it is handed on; with `down`, every call falls back."""

    def __init__(self, *, traced: bool = False, fall_back: bool = False, as_step: bool = False) -> None:
        self.told: list[str] = []
        self.spans = Recorder() if traced else None
        self._model = _Model(DOWN if fall_back else "")
        self._rows, self._policy = Rows(), policy()
        self._terms = Terms(TENANT, 0, _STEP.name, "benchmark", "benchmark", zone="eu")
        self._tasks: Any = _NoneParked()
        self._ports = self._fresh()
        self._asked = self._settled = self._handed_on = 0
        self._answered = self._as_a_step if as_step else self._alone

    def call(self, text: str = "") -> Completion:
        """Do all that a call of a model needs, and record it."""
        self._asked += 1
        if self._model.down and not self._asked % _BREAKS_AFTER:
            self._ports = self._fresh()
        prompt = Prompt("classify", _INSTRUCTION, text or f"{self._asked} {TEXT}", _SCHEMA, max_output_tokens=64)
        name = f"task-{self._asked}"
        task, entry = _TASK.model_copy(update={"id": name}), _ENTRY.model_copy(update={"task": name})
        with Measured(self._ports, partial(of_attempt, entry, 1)):
            return self._answered(task, entry, prompt)

    def hand_on(self) -> tuple[int, int]:
        """Forget what was recorded, as who has sent or stored it does; return how many events and spans that was.

        Checks that all of it is there, and that the money is where it belongs.
        """
        account = self._rows.account(TENANT)
        days = [book for window, book in account.books.items() if window.startswith("day:")]
        settled = sum(book.settled for book in days)
        assert not account.runs
        assert not any(book.open for book in days)
        assert settled == sum(one.settled for one in self._rows.leases.values()) + self._settled
        self._settled = settled
        calls, self._handed_on = self._asked - self._handed_on, self._asked
        spans, lost = self.spans.take() if self.spans else ([], 0)
        counted = len(self.told), len(spans)
        again = 1 if self._model.down else 0
        assert counted == ((3 + again) * calls, (3 + again) * calls if self.spans else 0)
        assert not lost
        self.told.clear()
        self._rows.leases.clear()
        self._rows.draws.clear()
        return counted

    def _alone(self, task: Task, entry: Entry, prompt: Prompt) -> Completion:
        """Let the tenant's account and the router decide, without a task and its steps around them."""
        ports, name, lease = self._ports, task.id, f"lease-of-{task.id}"
        granted = self._granted(task, lease)
        purse = Pocket(self._rows, lease, _STEP.name, ports.now)
        terms = replace(self._terms, task=name, within=attempt(entry, 1))
        completion = self._router.complete(prompt, purse, terms)
        admitted = TaskAdmitted(budget_micro_usd=WORST, reason=granted.reason, left_micro_usd=granted.left)
        bill = (_metered(drawn, line) for line, drawn in enumerate(purse.paid, 1))
        self._tell(name, (admitted, *purse.notes, *bill))
        used = completion.usage
        self._finish(lease, _TOKENS - used.tokens_in - used.tokens_out)
        return completion

    def _as_a_step(self, task: Task, entry: Entry, prompt: Prompt) -> Completion:
        """Do what a step of a run does about money, as the product does it."""
        ports, name, lease = self._ports, task.id, lease_id(task.id)
        granted = self._granted(task, lease)
        purse = LeasePurse(ports, task, entry)
        completion = models_for(ports, purse, _STEP, cacheable=False).complete(prompt)
        admitted = TaskAdmitted(budget_micro_usd=WORST, reason=granted.reason, left_micro_usd=granted.left)
        self._tell(name, (admitted, *stepping.bill(task, entry, purse.spending).facts))
        used = completion.usage
        self._finish(lease, _TOKENS - used.tokens_in - used.tokens_out)
        return completion

    def _granted(self, task: Task, lease: str) -> Grant:
        """Admit a task, as its commit does it: with its lease, and a span of that."""
        asked = Ask(lease, task.id, task.workflow, task.priority, WORST, _TOKENS)
        granted = admission.grant(self._ports, TENANT, asked)
        self._rows.post(granted.posting)
        moved(self._ports, None, task)
        return granted

    def _finish(self, lease: str, unused_tokens: int) -> None:
        ended = admission.finish(self._ports, TENANT, lease, unused_tokens=unused_tokens)
        if ended is not None:
            self._rows.post(ended[0])

    def _tell(self, task: str, facts: tuple[Fact, ...]) -> None:
        cause = Cause(f"{task}.call", TENANT, task, _TASK.entity, "/benchmarks")
        self.told += [encode(event) for event in follow(cause, facts, after=0, at=self._ports.now())]

    def _fresh(self) -> Ports:
        """Return ports that have learned nothing; a call has to do with a few of them only."""
        none: Any = None
        rows: Any = self._rows
        learned = Learned()
        self._router = Router(self._model, lambda: self._policy.routes, time.time, learned, spans=self.spans)
        return Ports(
            tasks=self._tasks,
            outbox=none,
            bus=none,
            journal=none,
            approvals=none,
            documents=none,
            models=self._model,
            pipelines=none,
            records=none,
            ledger=rows,
            cache=None,
            learned=learned,
            settings=Recent(_Unwritten(), _now),
            policy=lambda: self._policy,
            now=_now,
            spans=self.spans,
        )


def _metered(drawn: Draw, line: int) -> UsageMetered:
    return UsageMetered(
        document=drawn.document,
        step=drawn.step,
        model="gpt-4o-mini",
        tokens_in=drawn.tokens_in,
        tokens_out=drawn.tokens_out,
        cost_micro_usd=drawn.actual,
        price_version="benchmark",
        line=line,
        deployment=drawn.deployment,
    )
