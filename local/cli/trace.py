"""`trace`: how long a task's work took, from its spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local.cli.doors import Place, Where
from local.cli.shared import HOME, Home, Json, Stop, opened, print_json
from local.cli.tasks import Task


def trace(task: Task, home: Home = HOME, where: Where = Place.EMBEDDED, *, as_json: Json = False) -> None:
    """Show a task's spans as a waterfall; --json is OTLP, which other tools import."""
    from local.waterfall import print_waterfall  # noqa: PLC0415
    from shared.core.otlp import read  # noqa: PLC0415

    told = _collected(home, task) if where is Place.EMULATORS else _kept(home, task)
    if as_json:
        print_json(told)
        return
    spans = read(told)
    if not spans:
        raise Stop(f"nobody recorded spans of a task {task!r}; see `agentfabric tasks`")
    print_waterfall(spans)


def _kept(home: Path, task: str) -> dict[str, Any]:
    from shared.core.otlp import request  # noqa: PLC0415

    with opened(home) as engine:
        return request(engine.spans.of(task), {"service.name": "agentfabric"})


def _collected(home: Path, task: str) -> dict[str, Any]:
    from local.stack import state  # noqa: PLC0415
    from local.stack.collector import collected  # noqa: PLC0415

    folder = state.facts(home / "stack").get("TRACES_FOLDER")
    if folder is None:
        raise Stop(f"no collector runs in {home}; `agentfabric up` starts one")
    return collected(Path(folder), task)
