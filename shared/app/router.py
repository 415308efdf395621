"""The one caller of models: whom to ask, from whose money, and whom next when that comes to nothing.

The only place where a model's call is repeated. Throttling and a provider that is down are no failures of the task:
they end in Throttled, which uses up no attempt. What was paid for and came to nothing ends in Transient.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from shared.app.calls import Calls
from shared.app.learned import Learned as InProcess
from shared.app.question import Question
from shared.core import caching, likeness
from shared.core.answers import complaint
from shared.errors import Permanent, Transient
from shared.events.usage import UsageSaved

if TYPE_CHECKING:
    from shared.app.crew import Crew
    from shared.app.purse import Purse, Terms
    from shared.core.completion import Completion, Prompt
    from shared.core.likeness import Place
    from shared.core.routing import Route
    from shared.ports import Cache, Learned, Models, Nearby, Spans

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Router:
    """Chooses among what the policy names, and tells `learned` what came of it, which outlives it."""

    models: Models
    routes: Callable[[], tuple[Route, ...]]
    now: Callable[[], float]
    learned: Learned = field(default_factory=InProcess)
    cache: Cache | None = None
    crew: Crew | None = None
    nearby: Nearby | None = None
    spans: Spans | None = None

    def bound(self, purse: Purse, terms: Terms) -> Models:
        """Return models as a tool sees them: paid from this purse, on these terms."""
        return _Models(self, purse, terms)

    def complete(self, prompt: Prompt, purse: Purse, terms: Terms) -> Completion:
        """Answer.

        Throttled: nobody can be asked now, and nothing was paid in vain. Transient: something was. Permanent: no
        waiting will help, with the code `budget-used-up`, `no-model`, `bad-answer` or the provider's.
        """
        earlier = purse.found(prompt)
        if earlier is not None and not complaint(earlier.completion.answer, prompt.answer_schema):
            purse.note(_saved(terms, earlier.completion, earlier.cost, "journal"))
            return earlier.completion
        if self.cache is None or not terms.cacheable:
            return self._question(prompt, purse, terms).answered()[0]
        wanted = f"{terms.models_version}/{terms.quality:g}/{terms.zone}"
        name = caching.key(prompt, wanted)
        found = self._cached(self.cache, name, prompt, purse, terms)
        if found is not None:
            return found
        place = self._place(prompt, terms)
        if self.nearby is None or place is None:
            return self._asked(self.cache, name, prompt, purse, terms)
        about = likeness.question(prompt, wanted)
        near = self.nearby.find(terms.tenant, about, place, terms.alike)
        found = self._cached(self.cache, near.key, prompt, purse, terms, near.similarity) if near else None
        if found is None:  # else it is not kept for this text, too: no answer wanders on from text to text
            found = self._asked(self.cache, name, prompt, purse, terms)
            self.nearby.keep(terms.tenant, about, place, name)
        return found

    def _asked(self, cache: Cache, name: str, prompt: Prompt, purse: Purse, terms: Terms) -> Completion:
        completion, cost = self._question(prompt, purse, terms).answered()
        self._keep(cache, name, terms, caching.kept(completion, cost))
        return completion

    def _place(self, prompt: Prompt, terms: Terms) -> Place | None:
        if self.nearby is None or not terms.alike:
            return None
        try:
            return self.nearby.place(prompt.text)
        except (Transient, Permanent) as lost:
            _LOG.warning("texts are not compared: %s", lost)
            return None

    def _question(self, prompt: Prompt, purse: Purse, terms: Terms) -> Question:
        calls = Calls(self.models, self.learned, self.now, terms, purse, spans=self.spans)
        return Question(self.routes(), prompt, calls, self.crew)

    def _cached(
        self, cache: Cache, name: str, prompt: Prompt, purse: Purse, terms: Terms, similarity: float | None = None
    ) -> Completion | None:
        try:
            text = cache.get(terms.tenant, name, self._moment())
        except Transient as down:
            _LOG.warning("the cache of answers is not read: %s", down)
            return None
        if text is None:
            return None
        found, cost = caching.read(text)
        if complaint(found.answer, prompt.answer_schema):
            return None
        if similarity is not None and not likeness.holds_for(found.answer, prompt.text):
            return None
        purse.note(_saved(terms, found, cost, "cache", similarity))
        return found

    def _keep(self, cache: Cache, name: str, terms: Terms, text: str) -> None:
        try:
            cache.put(terms.tenant, name, text, self._moment() + timedelta(seconds=terms.keep_seconds))
        except Transient as down:
            _LOG.warning("the cache of answers is not written: %s", down)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)


def _saved(
    terms: Terms, found: Completion, cost: int, by: Literal["cache", "journal"], similarity: float | None = None
) -> UsageSaved:
    return UsageSaved(
        document=terms.document,
        step=terms.step,
        model=found.usage.model,
        saved_micro_usd=cost,
        by=by,
        deployment=found.deployment,
        price_version=terms.price_version,
        similarity=similarity,
    )


@dataclass(frozen=True, slots=True)
class _Models:
    router: Router
    purse: Purse
    terms: Terms

    def complete(self, prompt: Prompt) -> Completion:
        return self.router.complete(prompt, self.purse, self.terms)
