"""How an answer goes wrong on its way: cut, broken, dripping, of another type, or never. Knows bytes only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from local.model_server.exchange import Body, Reply

if TYPE_CHECKING:
    from local.model_server.scenario import Kind, Phase

_PAGE = b"<!doctype html><title>Sign in</title><h1>Sign in to continue</h1>\n"


def sent(body: Body, kind: Kind, phase: Phase | None, first_byte: float) -> Reply:
    """Return what the client gets of a response."""
    usual = Reply(body.status, body.headers, body.chunks, first_byte, None if body.streamed else body.size)
    worse = _WORSE.get(kind)
    return worse(usual, phase) if worse and phase else usual


def _dripping(reply: Reply, phase: Phase) -> Reply:
    pace = phase.bytes_per_second
    return Reply(reply.status, reply.headers, reply.chunks, reply.first_byte, reply.length, pace)


def _broken(reply: Reply, phase: Phase) -> Reply:
    """Promise all and cut the connection; at least the last byte is never sent."""
    begun = _first(reply.chunks, min(phase.after_bytes, len(reply.content) - 1))
    return Reply(reply.status, reply.headers, begun, reply.first_byte, reply.length, ending="broken")


def _truncated(reply: Reply, _: Phase) -> Reply:
    """End properly in the middle: only who reads the content can tell."""
    begun = _first(reply.chunks, len(reply.content) // 2)
    length = None if reply.length is None else sum(map(len, begun))
    return Reply(reply.status, reply.headers, begun, reply.first_byte, length)


def _another_type(reply: Reply, _: Phase) -> Reply:
    headers = {**reply.headers, "content-type": "text/html; charset=utf-8"}
    return Reply(reply.status, headers, (_PAGE,), reply.first_byte, len(_PAGE))


def _silent(reply: Reply, _: Phase) -> Reply:
    return Reply(reply.status, {}, (), math.inf, None, ending="silence")


def _first(chunks: tuple[bytes, ...], most: int) -> tuple[bytes, ...]:
    kept: list[bytes] = []
    for chunk in chunks:
        if most <= 0:
            break
        kept.append(chunk[:most])
        most -= len(chunk)
    return tuple(kept)


_WORSE: dict[str, Callable[[Reply, Phase], Reply]] = {
    "slow-drip": _dripping,
    "broken-stream": _broken,
    "truncated-json": _truncated,
    "wrong-content-type": _another_type,
    "timeout": _silent,
}
