"""The whole path of a model call, without the call: next to LiteLLM's router and proxy, and pydantic-ai's fallback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import router_http
from benchmarks.router_peers import ENVIRONMENT, Side
from benchmarks.runner import Effort, Row, Target, at_most, in_turns

_ROOT = Path(__file__).parents[1]
_MICRO, _MILLI = 1e6, 1e3
_KIB_PER_MB = 1024
_OUR_IMPORTS = "import shared.app.admission, shared.app.paying"
_FRESH = """
import time
began = time.process_time()
{}
took = time.process_time() - began
import os, resource
told = "/proc/self/status"  # Linux's getrusage would count the parent's peak; macOS says bytes
status = open(told).read() if os.path.exists(told) else f"VmHWM: {{resource.getrusage(0).ru_maxrss // 1024}}"
print(took, status.partition("VmHWM:")[2].split()[0])
"""
_TARGET = at_most(1 / 20)

# Our kinds of calls: a row's name and what we do.
_NAMES = {
    "traced": "model call, whole path",
    "untraced": "model call, no spans",
    "step": "model call of a step",
    "fallback": "model call, fallback taken",
}
_PATH = (
    "Processor time of all threads; eight deployments, a prompt of a kilobyte, an answer from memory. Ours: grant (kill"
    " switch, backpressure, two buckets, runs, two budgets, a lease), journal, decision with reasons, gate, draw, check"
    " of the answer, price, settlement, journal, lease closed; three events made and encoded; rows in memory"
)
_OURS = {
    "traced": f"{_PATH}; three spans recorded: the admission, the call, the attempt at a step that it is a part of.",
    "untraced": f"{_PATH}; no spans.",
    "step": "Ours: the same by way of a run's step, with its purse and its rows of task and journal; no spans.",
    "fallback": "Ours: the first deployment is down: drawn, taken back, the next one drawn; an event and a span more.",
}
_LIMITS = (
    " Router.completion (acompletion takes longer), usage-based-routing-v2, rpm and tpm for each deployment, pre-call"
    " checks, the price in a callback; no budget, journal or reasons"
)
# The peers' kinds: what they do.
_THEIRS = {
    "spans": f" LiteLLM:{_LIMITS}; its own two spans, by OpenTelemetry's SDK.",
    "limits": f" LiteLLM:{_LIMITS}, no spans.",
    "plain": " LiteLLM: Router.completion, simple-shuffle, no limits, the price in a callback.",
    "fell": f" LiteLLM:{_LIMITS}, no spans; the first group fails at once, `fallbacks` names another; cooldowns off.",
    "first": " pydantic-ai: FallbackModel.request over eight TestModels; no limits, prices, journal or reasons.",
    "second": " pydantic-ai: the same, the first of them a FunctionModel that raises a 503.",
}


def rows(effort: Effort) -> Iterator[Row]:
    """Measure calls, memory, imports and requests over HTTP."""
    python = ENVIRONMENT.find() if effort.peers else None
    if python is None:
        yield from _alone(effort)
        return
    with ExitStack() as stack:
        ours = stack.enter_context(Side("ours"))
        litellm = stack.enter_context(Side("litellm", python))
        traced = stack.enter_context(Side("litellm-traced", python))
        pydantic_ai = stack.enter_context(Side("pydantic-ai", python))
        yield from _calls(effort, ours, litellm, traced, pydantic_ai)
        yield _memory(effort, ours.megabytes(), litellm)
    yield from _imports(effort, python)
    yield from router_http.rows(effort, python)


@dataclass(slots=True)
class _Calls:
    """A contender: microseconds of processor for each call of one kind; keeps the rates by the clock beside."""

    side: Side
    kind: str
    count: int
    rates: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        processor, clock = self.side.calls(self.kind, self.count)
        self.rates.append(self.count / clock)
        return processor / self.count * _MICRO


def _alone(effort: Effort) -> Iterator[Row]:
    with Side("ours") as ours:
        kinds = {kind: _Calls(ours, kind, _many(effort)) for kind in _NAMES}
        for kind, samples in zip(kinds, in_turns(effort.repeats, *kinds.values()), strict=True):
            yield Row(_NAMES[kind], "µs", samples, note=_OURS[kind])
    missing = f"its environment could not be made; by hand: {ENVIRONMENT.install}"
    reason = missing if effort.peers else "not asked for, --peers does"
    for name, target in ((_NAMES["traced"], _TARGET), (router_http.NAME, router_http.TARGET)):
        yield Row(f"{name}, LiteLLM", "", (), "LiteLLM", (), target, f"Skipped: {reason}.")


def _many(effort: Effort) -> int:
    """Return how many calls a sample has; those of a full run have ten thousand together."""
    return effort.pick(full=-(-10_000 // effort.repeats), quick=1_000, tiny=5)


def _calls(effort: Effort, ours: Side, litellm: Side, traced: Side, pydantic_ai: Side) -> Iterator[Row]:
    many, few = _many(effort), effort.pick(full=400, quick=100, tiny=5)  # theirs take many times as long
    limited = effort.pick(full=many, quick=200, tiny=5)
    mine = {kind: _Calls(ours, kind, many) for kind in _NAMES}
    theirs = {
        "spans": _Calls(traced, "limits", few),
        "limits": _Calls(litellm, "limits", limited),
        "plain": _Calls(litellm, "plain", few),
        "fell": _Calls(litellm, "fallback", few),
        "first": _Calls(pydantic_ai, "first", many),
        "second": _Calls(pydantic_ai, "fallback", many),
    }
    found = dict(zip((*mine, *theirs), in_turns(effort.repeats, *mine.values(), *theirs.values()), strict=True))

    def row(kind: str, who: str, their: str, target: Target | None = None) -> Row:
        name, note = f"{_NAMES[kind]}, {who}", _OURS[kind] + _THEIRS[their]
        return Row(name, "µs", found[kind], theirs[their].side.name, found[their], target, note)

    yield row("traced", "LiteLLM with limits and spans", "spans", _TARGET)
    yield row("traced", "LiteLLM with limits", "limits", _TARGET)
    yield row("untraced", "LiteLLM with limits", "limits", _TARGET)
    yield row("step", "LiteLLM with limits", "limits")
    yield row("untraced", "LiteLLM without limits", "plain")
    yield row("fallback", "LiteLLM", "fell")
    yield row("untraced", "pydantic-ai", "first")
    yield row("fallback", "pydantic-ai", "second")
    note = "By the clock, one thread that asks, ours with spans, theirs with limits and without: what the machine gave."
    yield Row("model calls", "/s", mine["traced"].rates, litellm.name, theirs["limits"].rates, note=note)


def _memory(effort: Effort, ours: float, litellm: Side) -> Row:
    note = (
        f"The peak of the processes that made the calls above, once, after {_many(effort) * effort.repeats:,} of each"
        " of our kinds; a full run makes as many of theirs with limits. What ours records is handed on every 500 calls."
    )
    return Row("memory after the calls", "MB", (ours,), litellm.name, (litellm.megabytes(),), note=note)


def _imports(effort: Effort, python: Path) -> Iterator[Row]:
    peers = {
        "LiteLLM": "from litellm import Router",
        "pydantic-ai": "from pydantic_ai.models.fallback import FallbackModel",
    }
    imports = _Import([sys.executable], _OUR_IMPORTS), *(_Import([python, "-P"], code) for code in peers.values())
    ours, *theirs = in_turns(effort.repeats, *imports)
    for (peer, code), samples, imported in zip(peers.items(), theirs, imports[1:], strict=True):
        note = f"A fresh interpreter each time, processor time, .pyc present. Ours: {_OUR_IMPORTS}. Theirs: {code}."
        yield Row(f"import, {peer}", "ms", ours, peer, samples, note=note)
        note = "The peak of the same interpreters."
        yield Row(f"memory after the import, {peer}", "MB", imports[0].peaks, peer, imported.peaks, note=note)


class _Import:
    """A contender: milliseconds of an import in a fresh interpreter; keeps its megabytes. One first writes .pyc."""

    def __init__(self, python: Sequence[str | Path], code: str) -> None:
        self._command = [*python, "-c", _FRESH.format(code)]
        self.peaks: list[float] = []
        self()
        self.peaks.clear()

    def __call__(self) -> float:
        done = subprocess.run(self._command, cwd=_ROOT, capture_output=True, text=True, check=True)  # noqa: S603  ours
        took, kibibytes = done.stdout.split()[-2:]
        self.peaks.append(int(kibibytes) / _KIB_PER_MB)
        return float(took) * _MILLI
