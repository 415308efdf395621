"""The embedded model: deterministic, no weights, no network; it compares and quotes, it writes nothing.

Knows prompts and completions only. Tokens are estimated as a quarter of the characters, rounded up:
in: the instruction and the text; out: the answer as JSON.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.core.completion import ClassProfile, Completion, Prompt, Usage
from shared.core.text import locate, lowered
from shared.models.quoting import quotations
from shared.models.sightings import Heard, Sighting, Signs

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "extractive-1"
UNKNOWN = "unknown"
_CHARACTERS_PER_TOKEN = 4
_WORTH_NAMING = 5
_AS_GOOD = 0.2  # the first of the signs that are this near to the best one is what the text is
_QUOTE = 300


class Extractive:
    """`Models` without a model: likeness to reference texts, deciding phrases, keywords; sentences quoted."""

    def complete(self, prompt: Prompt) -> Completion:
        """Answer the prompt; the same prompt always gets the same answer."""
        answer = _classify(prompt) if prompt.purpose == "classify" else _summarise(prompt)
        said = tokens(json.dumps(answer, ensure_ascii=False))
        return Completion(answer, Usage(NAME, tokens(prompt.instruction, prompt.text), said))


def tokens(*texts: str) -> int:
    """Estimate the tokens of texts: a quarter of their characters, rounded up."""
    return -(-sum(map(len, texts)) // _CHARACTERS_PER_TOKEN)


def _classify(prompt: Prompt) -> dict[str, Any]:
    signs = _signs(prompt.classes)
    lower = lowered(prompt.text)
    heard = Heard(lower, signs.wordings)
    seen = _main_first(signs.sightings(heard))
    also = list(dict.fromkeys(sighting.name for sighting in seen if sighting.name != seen[0].name))
    seen = seen or signs.by_keywords(heard)
    label = seen[0].name if seen else UNKNOWN
    score = max((sighting.score for sighting in seen if sighting.name == label), default=0.0)
    rivals = (*also, *signs.alike(heard), *(sighting.name for sighting in seen))
    return {
        "label": label,
        "score": round(score, 4),
        "evidence": [_evidence(sighting, prompt.text, lower) for sighting in seen[:_WORTH_NAMING]],
        "runner_up": next((name for name in rivals if name != label), ""),
        "also": also,
    }


@lru_cache(maxsize=4)
def _signs(classes: tuple[ClassProfile, ...]) -> Signs:
    return Signs(classes)


def _main_first(seen: Sequence[Sighting]) -> list[Sighting]:
    """Put first what the text is: the earliest of the signs that are about as good as the best."""
    best = max((sighting.score for sighting in seen), default=0.0)
    main = [sighting for sighting in seen if sighting.score >= best - _AS_GOOD][:1]
    return main + [sighting for sighting in seen if sighting not in main]


def _evidence(sighting: Sighting, text: str, lower: str) -> dict[str, Any]:
    place = locate(lower, list(sighting.phrase))
    quote = text[place[0] : place[1]] if place else ""
    return {"what": sighting.what[:200], "quote": quote[:_QUOTE], "weight": round(sighting.score, 4)}


def _summarise(prompt: Prompt) -> dict[str, Any]:
    """Quote as many sentences as the answer's schema has room for; the class profiles' keywords are the cues."""
    room = prompt.answer_schema["properties"]["quotes"]
    cues = tuple(cue for profile in prompt.classes for cue in profile.keywords)
    spans = quotations(prompt.text, cues, room["maxItems"], room["items"]["maxLength"])  # for all together
    return {"quotes": [prompt.text[start:end] for start, end in spans]}
