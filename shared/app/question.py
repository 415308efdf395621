"""One question's way through those who may answer it: the next one, a repair, a second one for those in a hurry."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from shared.app.calls import Busy, Calls, Kind, Said
from shared.app.purse import UNKNOWN_OUTCOME, LedgerDown
from shared.core import notes
from shared.core.completion import Completion, NoAnswer, Prompt, Repair
from shared.core.health import WELL
from shared.core.money import usd
from shared.core.phrasing import most_tokens_in
from shared.core.routing import Ask, Choice, Pick, Route, decide
from shared.errors import FabricError, Permanent, Throttled, Transient
from shared.events.routing import ModelUnrouted

if TYPE_CHECKING:
    from shared.app.crew import Crew

_LOG = logging.getLogger(__name__)
_NEEDS = frozenset({"json"})
_MARGIN = 0.5  # seconds that are left to whoever waits for an answer
_BYTES_PER_TOKEN = 4  # about
_SOON = 1.0  # seconds; when a deployment that is down does not say for how long
_BROKE = "budget-used-up"


class _Heard(NamedTuple):
    pick: Pick
    said: Said


@dataclass(slots=True)
class Question:
    """Whom to ask and what came of it."""

    known: tuple[Route, ...]
    prompt: Prompt
    calls: Calls
    crew: Crew | None = None
    ends: dict[str, str] = field(default_factory=dict)  # what came of those that were asked, and are no help
    waits: list[float] = field(default_factory=list)
    in_vain: Transient | None = None
    refusal: Permanent | None = None
    broke: Permanent | None = None
    fault: str = ""
    repaired: bool = False

    def answered(self) -> tuple[Completion, int]:
        """Ask one after the other; return the first answer that will do, and its price."""
        choice = self._choice()
        for pick in choice.order:
            if pick.route.name in self.calls.asked:
                continue
            heard = self._answer(pick, choice)
            if heard is not None and not heard.said.fault:
                used = heard.said.completion.usage
                return heard.said.completion, heard.pick.route.cost(used.tokens_in, used.tokens_out)
            if self.in_vain is not None and not self.calls.terms.pays_again:
                raise Permanent(f"{self.in_vain}; it may have been paid for", code=UNKNOWN_OUTCOME)
        raise self._verdict(choice)

    def _choice(self) -> Choice:
        prompt, terms = self.prompt, self.calls.terms
        most_in = most_tokens_in(prompt) if any(not route.embedded for route in self.known) else 0
        ask = Ask(
            purpose=prompt.purpose,
            text_in=prompt.tokens_in,
            tokens_in=most_in // _BYTES_PER_TOKEN,
            most_in=most_in,
            most_out=prompt.max_output_tokens,
            left=self.calls.purse.left(),
            needs=_NEEDS,
            sla_ms=terms.sla_ms,
            hard=terms.hard,
            quality=terms.quality,
            zone=terms.zone,
        )
        self.calls.most_in = most_in
        choice = decide(self.known, ask, self.calls.learned.health, self.calls.now())
        self.calls.choice = choice
        self.waits += [one.wait for one in choice.refused if one.wait]
        return choice

    def _answer(self, pick: Pick, choice: Choice) -> _Heard | None:
        first = not self.calls.asked
        if first and self.calls.terms.hard and self.crew is not None and len(choice.order) > 1:
            heard = self._raced(self.crew, pick, choice.order[1])
        else:
            heard = self._ask(pick, self.prompt, "first" if first else "fallback")
        if heard is not None and heard.said.fault and not heard.pick.route.embedded and not self.repaired:
            self.repaired = True
            said = heard.said
            earlier = said.completion.text or str(said.completion.answer)
            heard = self._ask(heard.pick, replace(self.prompt, repair=Repair(earlier, said.fault)), "repair") or heard
        return heard

    def _ask(self, pick: Pick, prompt: Prompt, kind: Kind) -> _Heard | None:
        call = self._prepared(pick, prompt, kind)
        return self._heard(pick, call) if call else None

    def _prepared(self, pick: Pick, prompt: Prompt, kind: Kind) -> Callable[[], Said] | None:
        """Get a call ready; what the purse says about calling anybody at all is not caught here."""
        self.calls.asked.add(pick.route.name)
        if prompt.deadline and self.calls.now() + _MARGIN >= prompt.deadline:
            raise self.in_vain or Transient("no time is left for another call of a model")
        try:
            return self.calls.prepare(pick, prompt, kind)
        except Busy as busy:
            self.waits.append(busy.retry_after)
            self.calls.passed[pick.route.name] = f"its gate is shut for {ceil(busy.retry_after)} s"
        except Permanent as error:
            if error.code != _BROKE:
                raise
            self.broke = error
            self.calls.passed[pick.route.name] = str(error)
        return None

    def _heard(self, pick: Pick, call: Callable[[], Said]) -> _Heard | None:
        """Call, and note what an answer that did not come means for the question."""
        try:
            said = call()
        except LedgerDown:
            raise
        except Throttled as error:
            self.waits.append(error.retry_after)
            self._came_to_nothing(pick, "throttled")
        except NoAnswer as error:
            self._came_to_nothing(pick, error.code)
            if error.served:
                self.in_vain = error
            else:
                self.waits.append(max(_SOON, error.retry_after))
        except Transient as error:
            self._came_to_nothing(pick, "failed")
            self.in_vain = error
        except Permanent as error:
            self._came_to_nothing(pick, error.code)
            self.refusal = self.refusal or error
        else:
            self.fault = said.fault
            if said.fault:
                self._came_to_nothing(pick, "bad-answer")
            return _Heard(pick, said)
        return None

    def _came_to_nothing(self, pick: Pick, how: str) -> None:
        self.ends[pick.route.name] = how
        self.calls.after = f"{pick.route.name}: {how}"

    def _raced(self, crew: Crew, first: Pick, second: Pick) -> _Heard | None:
        """Ask the second one, too, when the first takes longer than 19 of its 20 calls; take what is there first.

        The slower one's end is settled by its own thread.
        """
        call = self._prepared(first, self.prompt, "first")
        if call is None:
            return None
        running = {crew.start(call): first}
        learned = self.calls.learned.health.get(first.route.name, WELL)
        if not crew.first(running, (learned.p95 if learned.answered else first.route.p95) / 1000):
            self.calls.after = f"{first.route.name}: slow"
            backup = self._prepared(second, self.prompt, "hedge")
            running |= {crew.start(backup): second} if backup else {}
        return self._first_good(crew, running)

    def _first_good(self, crew: Crew, running: dict[Future[Said], Pick]) -> _Heard | None:
        heard = None
        while running:
            done = crew.first(running, None)
            for future in [one for one in running if one in done]:
                pick = running.pop(future)
                heard = self._heard(pick, future.result) or heard
                if heard is not None and not heard.said.fault:
                    for late in running:
                        late.add_done_callback(_told)
                    return heard
        return heard

    def _verdict(self, choice: Choice) -> FabricError:
        """Say what it means for the question that nobody answered it, and note of everybody why."""
        verdict = self._meaning(choice)
        refused = notes.named((*self.ends.items(), *self.calls.not_asked(self.prompt)))
        terms = self.calls.terms
        self.calls.purse.note(
            ModelUnrouted(
                document=terms.document,
                step=terms.step,
                reason=str(verdict),
                refused=refused.refused,
                more_refused=refused.more,
                price_version=terms.price_version,
                left_micro_usd=max(0, self.calls.purse.left()),
            )
        )
        return verdict

    def _meaning(self, choice: Choice) -> FabricError:
        wait = min(self.waits, default=_SOON)
        if self.in_vain is not None:
            return Transient(f"no model answered: {self.in_vain}", retry_after=max(self.in_vain.retry_after, wait))
        if self.waits:
            return Throttled(f"no model can be asked for {wait:.1f} s", retry_after=wait, code="models-busy")
        broke = self.broke or self._too_dear(choice)
        if broke is not None:  # whatever else is wrong, more money is another chance
            return broke
        if self.fault:
            return Permanent(f"the model's answer: {self.fault}", code="bad-answer")
        if self.refusal is not None:
            return self.refusal
        reasons = "; ".join(f"{one.deployment}: {one.reason}" for one in choice.refused) or "the policy names none"
        return Permanent(f"no model can answer: {reasons}", code="no-model")

    def _too_dear(self, choice: Choice) -> Permanent | None:
        names = {one.deployment for one in choice.refused if one.code == "budget"}
        if not names:
            return None
        dear = [(self.calls.worst(route, self.prompt), route.name) for route in self.known if route.name in names]
        worst, name = min(dear)
        left = usd(self.calls.purse.left())
        return Permanent(f"a call of {name} may cost {usd(worst)}, and {left} are left", code=_BROKE)


def _told(late: Future[Said]) -> None:
    """Tell about a fault of ours in a call that nobody waits for any more; how providers fail is settled already."""
    fault = late.exception()
    if fault is not None and not isinstance(fault, FabricError):
        _LOG.error("a hedged call ended badly", exc_info=fault)
