"""When two questions are the same question, and how an answer is kept. Pure.

Everything that shapes an answer is in the key; who asks is not: a cache is per tenant.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from shared.core.completion import ClassProfile, Completion, Usage

if TYPE_CHECKING:
    from shared.core.completion import Prompt


def key(prompt: Prompt, models: str) -> str:
    """Return the name of the question; `models` is the version of who may answer it, and how well.

    A repair asks the same question.
    """
    asked = [
        models,
        prompt.purpose,
        prompt.instruction,
        prompt.text,
        _classes(prompt.classes),
        prompt.answer_schema,
        prompt.max_output_tokens,
    ]
    text = json.dumps(asked, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


@lru_cache(maxsize=16)
def _classes(profiles: tuple[ClassProfile, ...]) -> str:
    """Digest the classes: a taxonomy's references are hundreds of kilobytes, and the same for every document."""
    return sha256(json.dumps([asdict(profile) for profile in profiles]).encode()).hexdigest()


def kept(completion: Completion, cost: int) -> str:
    """Put an answer and what it cost into a text."""
    usage = completion.usage
    told = [completion.answer, usage.model, usage.tokens_in, usage.tokens_out, cost, completion.deployment]
    return json.dumps(told, ensure_ascii=False)


def read(text: str) -> tuple[Completion, int]:
    """Return the answer and what it cost; older ones do not say who gave it."""
    answer, model, tokens_in, tokens_out, cost, *deployment = json.loads(text)
    return Completion(answer, Usage(model, tokens_in, tokens_out), deployment="".join(deployment)), cost
