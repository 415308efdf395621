"""The pipeline's definition on the ASL runner with functions that do nothing, next to the bare calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.runner import Effort, Row, each, in_turns
from local import asl
from local.clock import RealClock
from shared.core.workflow import DOCUMENT_REVIEW, pipeline_input
from shared.render import asl as definition

_ANSWERS: Mapping[str, dict[str, Any]] = {
    "extract": {"text": {"uri": "blob:0", "sha256": "0" * 64, "size": 1069}, "characters": 1069},
    "classify": {"label": "MIT", "score": 0.97, "evidence": [{"what": "its wording", "start": 0, "end": 1069}]},
    "summarise": {"summary": "Permission is hereby granted, free of charge, to any person.", "quotes": []},
    "policy": {"approval_required": False, "reason": "MIT needs no approval."},
}
_MICRO = 1e6


def rows(effort: Effort) -> Iterator[Row]:
    """Measure an execution, per state."""
    machine, clock = asl.compile(definition(DOCUMENT_REVIEW)), RealClock()
    given = pipeline_input("acme", "t1", 0)
    times = effort.pick(full=2000, quick=500, tiny=3)

    def express() -> asl.Execution:
        return machine.run(given, name="run-1", invoke=_nothing, clock=clock)

    done = express()
    assert done.status == "SUCCEEDED"
    assert done.output["results"] == _bare(given)["results"] == _ANSWERS
    per_state = _MICRO / len(done.steps)
    ours, bare = in_turns(
        effort.repeats, each(express, times, scale=per_state), each(lambda: _bare(given), times, scale=per_state)
    )
    states = ", ".join(state for state, _ in done.steps)
    note = (
        f"{len(done.steps)} states: {states}. Ours: paths, templates, size limits, retries, deadline. The limit:"
        " the same calls in a loop, payloads and answers copied through JSON."
    )
    yield Row("Express state", "µs", ours, "limit: bare calls", bare, note=note)


def _nothing(_function: str, payload: Any) -> Any:  # noqa: ANN401  any JSON value
    return _ANSWERS.get(payload.get("step"), {})


def _bare(given: dict[str, Any]) -> dict[str, Any]:
    state = json.loads(json.dumps(given))
    for step in _ANSWERS:
        payload = json.loads(json.dumps(state | {"step": step}))
        state["results"][step] = json.loads(json.dumps(_nothing("step", payload)))
    _nothing("record", json.loads(json.dumps(given)))
    return dict(state)
