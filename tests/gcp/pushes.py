"""Push envelopes like the recorded one, around other messages."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcp.adapters.pubsub import attributes
from shared.events.catalog import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.events.catalog import AnyEvent

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def sample() -> dict[str, Any]:
    """Return the envelope as the emulator sent it."""
    recorded: dict[str, Any] = json.loads((SAMPLES / "gcp" / "push.json").read_text(encoding="utf-8"))
    return recorded


def push(body: bytes, named: Mapping[str, str]) -> dict[str, Any]:
    """Return the recorded envelope with another message inside."""
    envelope = sample()
    envelope["message"] |= {"data": base64.b64encode(body).decode(), "attributes": dict(named)}
    return envelope


def push_of(event: AnyEvent) -> dict[str, Any]:
    """Return an event's envelope."""
    return push(encode(event).encode(), attributes(event))
