"""Every deployment of a policy behind the one port `Models`: whom a prompt names, answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, cast

from providers.answering import Remote
from providers.http import Pool, Web
from shared.core.routing import EMBEDDED, Candidate, embedded
from shared.errors import NotFound
from shared.models.extractive import Extractive

if TYPE_CHECKING:
    from providers.answering import Dialect
    from shared.core.completion import Completion, Prompt
    from shared.ports import Models

_DIALECTS = {
    "bedrock": ("bedrock", "Bedrock"),
    "azure-openai": ("azure_openai", "AzureOpenAI"),
    "gemini": ("gemini", "Gemini"),
    "openai": ("openai", "OpenAI"),
}


@dataclass(slots=True)
class Deployments:
    """`candidates` is asked each time, because a policy is reloaded; `secrets` is the environment."""

    candidates: Callable[[], Mapping[str, Candidate]]
    secrets: Mapping[str, str] = field(repr=False)
    web: Web = field(default_factory=Pool)
    _made: dict[str, tuple[Candidate, Models]] = field(default_factory=dict, init=False)

    def complete(self, prompt: Prompt) -> Completion:
        """Answer through the deployment the prompt names; without a name, the embedded model does."""
        return self._model(prompt.deployment or EMBEDDED).complete(prompt)

    def _model(self, name: str) -> Models:
        candidate = self.candidates().get(name)
        if candidate is None and name != EMBEDDED:
            raise NotFound(f"the policy names no deployment {name!r}")
        candidate = candidate or embedded()
        known = self._made.get(name)
        if known is not None and (known[0] is candidate or known[0] == candidate):
            return known[1]
        made = model(candidate, self.secrets, self.web)
        self._made[name] = (candidate, made)
        return made


def model(candidate: Candidate, secrets: Mapping[str, str], web: Web) -> Models:
    """Return the model behind a candidate; what only one provider needs is imported for that one."""
    if candidate.provider == "extractive":
        return Extractive()
    if candidate.provider == "smollm":
        from providers.smollm import SmolLM  # noqa: PLC0415  an optional extra

        return SmolLM(candidate)
    return Remote(candidate, _dialect(candidate.provider), web, secrets)


def _dialect(provider: str) -> Dialect:
    module, name = _DIALECTS[provider]
    return cast("Dialect", getattr(import_module(f"providers.{module}"), name)())
