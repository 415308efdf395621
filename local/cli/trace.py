"""`trace`: how long a task's work took, from its spans."""

from __future__ import annotations

from local.cli.shared import HOME, Home, Json, Stop, opened, print_json
from local.cli.tasks import Task


def trace(task: Task, home: Home = HOME, *, as_json: Json = False) -> None:
    """Show a task's spans as a waterfall; --json is OTLP, which other tools import."""
    from local.waterfall import print_waterfall  # noqa: PLC0415
    from shared.core.otlp import request  # noqa: PLC0415

    with opened(home) as engine:
        spans = engine.spans.of(task)
    if not spans:
        raise Stop(f"nobody recorded spans of a task {task!r}; see `agentfabric tasks`")
    if as_json:
        print_json(request(spans, {"service.name": "agentfabric"}))
    else:
        print_waterfall(spans)
