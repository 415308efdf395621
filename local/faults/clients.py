"""Those outside: clients who submit, repeat themselves and cancel, and people who vote. They remember what they heard.

Drawn from the plan's seed. What they know is what the end is compared with, not what the fabric says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from local.faults.kinds import Kind
from local.faults.provider import TENANTS
from local.faults.work import SOURCE
from shared.app.approvals import decide_approval
from shared.app.tasks import cancel, submit
from shared.core.admission import Submission
from shared.core.approval import Person, Vote
from shared.errors import Forbidden, Permanent, Transient

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.faults.weather import Weather
    from shared.core.approval import Approval
    from shared.events.document import DocumentRef
    from shared.ports import Documents, Ports

REVIEWER = Person(name="bob", roles=("reviewer",))
OWNER = Person(name="cid", roles=("owner",))
_TAXONOMY = (
    'name = "t"\nthreshold = 0.5\nunknown_needs_approval = false\n'
    '[[classes]]\nname = "Pass"\nkeywords = ["pass"]\n'
    '[[classes]]\nname = "Ask"\nkeywords = ["ask"]\napproval = {asks}\n'
)
_TASKS_PER_ENTITY = 5  # about; they come one after the other, so that they get into each other's way
# What is submitted, and how much: one document, one for a human, two, an unreadable one, too dear, short of money.
SORTS = {"plain": 82, "asks": 8, "batch": 4, "empty": 2, "dear": 2, "short": 2}
_SHORT_OF_MONEY = 9000  # micro-USD: enough to begin with
_IMPATIENT = 5.0  # seconds


class Order(NamedTuple):
    """What a client wants done, under which key, and what kind of order that is."""

    tenant: str
    key: str
    submission: Submission
    sort: str
    cancelled: bool = False


@dataclass
class Clients:
    """All who ask for something. `waiting` are orders that have no answer yet, with the time to ask again."""

    weather: Weather
    documents: Documents
    left: int = 0
    waiting: list[tuple[float, Order]] = field(default_factory=list)
    orders: dict[tuple[str, str], Order] = field(default_factory=dict)
    answers: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    unlike: list[str] = field(default_factory=list)  # one key, two answers
    to_cancel: list[tuple[str, str]] = field(default_factory=list)
    votes: list[Approval] = field(default_factory=list)  # that were cast of late: somebody else may have another mind

    def __post_init__(self) -> None:
        plan = self.weather.plan
        self.left = plan.tasks
        self.chance = Random(f"{plan.seed}/{plan.part}/clients")  # noqa: S311  repeatable, not secret
        self._numbers = count()
        self.taxonomies = {asks: self._taxonomy(asks=asks) for asks in (True, False)}

    def _taxonomy(self, *, asks: bool) -> DocumentRef:
        text = _TAXONOMY.format(asks=str(asks).lower())
        return self.documents.write(text.encode(), "application/toml", "taxonomy.toml")

    def make(self) -> None:
        """Think of the next order."""
        self.left -= 1
        number = next(self._numbers)
        sort = self.chance.choices(list(SORTS), list(SORTS.values()))[0]
        tenant = TENANTS[number // (2 * _TASKS_PER_ENTITY) % len(TENANTS)]
        entity = number // _TASKS_PER_ENTITY - self.chance.randrange(2)
        submission = Submission(
            entity=f"package:{entity}",
            documents=tuple(self._document(number, sort, at) for at in range(2 if sort == "batch" else 1)),
            taxonomy=self.taxonomies[sort == "asks"],
            budget_micro_usd={"dear": 10**9, "short": _SHORT_OF_MONEY}.get(sort),
        )
        cancelled = self.weather.happens(Kind.CANCEL, self.weather.plan.rates.tasks)
        order = Order(tenant, f"key-{number}", submission, sort, cancelled)
        self.orders[tenant, order.key] = order
        self.waiting.append((0.0, order))
        if self.weather.happens(Kind.SAME_KEY, self.weather.plan.rates.tasks):
            self.waiting.append((0.0, order))

    def _document(self, number: int, sort: str, at: int) -> DocumentRef:
        word = "Ask" if sort == "asks" else "Pass"
        text = "" if sort == "empty" else f"{word} it on, number {number // 2} of {at}. Keep the notice."
        return self.documents.write(text.encode() or b" \n", "text/plain", f"LICENSE.{at}")

    def next_due(self) -> float | None:
        """Return when the next client asks again, or None."""
        return min((due for due, _ in self.waiting), default=None)

    def submit(self, ports: Ports, now: float) -> bool:
        """Let one client ask; False when none wants to."""
        place = next((place for place, (due, _) in enumerate(self.waiting) if due <= now), None)
        if place is None:
            return False
        order = self.waiting.pop(place)[1]
        again = now + _IMPATIENT
        try:
            task = submit(ports, order.tenant, "ann", order.submission, order.key, source=SOURCE).id
        except Transient as later:
            again = now + max(0.2, later.retry_after)
        except Forbidden as no:
            self.refused[order.tenant, order.key] = no.code
            return True
        else:
            self._heard(order, task)
            return True
        finally:
            if (order.tenant, order.key) not in self.answers and (order.tenant, order.key) not in self.refused:
                self.waiting.append((again, order))
        return True

    def _heard(self, order: Order, task: str) -> None:
        before = self.answers.setdefault((order.tenant, order.key), task)
        if before != task:
            self.unlike.append(order.key)
        if order.cancelled:
            self.to_cancel.append((order.tenant, task))

    def cancel(self, ports: Ports) -> bool:
        """Let one client cancel what it asked for; False when none wants to."""
        if not self.to_cancel:
            return False
        place = self.chance.randrange(len(self.to_cancel))
        tenant, task = self.to_cancel[place]
        self._insist(lambda: cancel(ports, tenant, task, "ann", "changed my mind", source=SOURCE))
        self.to_cancel = [one for one in self.to_cancel if one != (tenant, task)]
        return True

    def vote(self, ports: Ports) -> bool:
        """Let a person decide on something; False when nothing is to be decided."""
        tenant = TENANTS[self.chance.randrange(len(TENANTS))]
        asked = ports.approvals.pending(tenant, limit=20)
        if not asked:
            return False
        approval = asked[self.chance.randrange(len(asked))]
        if self.votes and self.weather.has(Kind.CANCEL):
            approval = self.votes.pop()
        else:
            self.votes.append(approval)
        self._insist(lambda: self._vote(ports, approval))
        return True

    def _vote(self, ports: Ports, approval: Approval) -> None:
        yes = approval.about == "budget" or self.chance.random() < 0.8  # noqa: PLR2004  most of them
        by = OWNER if approval.about == "budget" else REVIEWER
        said = Vote(verdict="approved" if yes else "rejected", by=by, digest=approval.digest, comment="seen")
        decide_approval(ports, approval.tenant, approval.id, said, source=SOURCE)

    @staticmethod
    def _insist(ask: Callable[[], object]) -> None:
        """Ask; what is too late is too late, and what failed is asked again another time."""
        try:
            ask()
        except Permanent:
            return
