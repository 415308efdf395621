"""What processes tell each other of their providers: which deployments take no calls, and until when.

Values and their text; who keeps it is not known here. Times are seconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

_NEWS = 0.1  # of a pause, and at least a second: less than that is no news
_MAPPING = TypeAdapter(dict[str, float])
_KEPT = 16


@lru_cache(maxsize=_KEPT)
def shut_in(text: str) -> Mapping[str, float]:
    """Return until when each deployment is shut; none for a text that says nothing: then everybody finds out alone."""
    try:
        return _MAPPING.validate_json(text) if text else {}
    except ValidationError:
        return {}


def is_news(known: Mapping[str, float], deployment: str, until: float, now: float) -> bool:
    """Tell whether it is worth writing down: it was not shut, or is shut for a good deal longer than was known."""
    pause = until - now
    return pause >= 1 and until > known.get(deployment, 0.0) + max(1.0, pause * _NEWS)


def text_of(known: Mapping[str, float], deployment: str, until: float, now: float) -> str:
    """Return the text with one more deployment that is shut, and without those that are open again."""
    still = {name: moment for name, moment in known.items() if moment > now} | {deployment: until}
    return json.dumps(dict(sorted(still.items())))
