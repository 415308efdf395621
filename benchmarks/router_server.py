"""One side's process: for each line `KIND COUNT` it prints the seconds of processor and of clock those calls took.

Run by the interpreter that has the side's packages, so it imports nothing of ours before it is told to be ours. The
line `memory` is answered with the process's peak in MB.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

Work = Callable[[int], None]  # so many calls

DEPLOYMENTS = 8
_HANDED_ON = 500  # calls after which we hand on what we recorded
_PATIENCE = 60.0
_KIB_PER_MB = 1024
_ANSWER = '{"label": "MIT", "score": 0.97}'
_TEXT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated"
    " documentation files, to deal in the software without restriction. "
) * 6


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a package prints is no answer
    name, kinds = _SIDES[sys.argv[1]]()
    logging.disable(logging.CRITICAL)
    for work in kinds.values():
        work(10)
    print(name, file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(_peak(), file=answers, flush=True)
            continue
        kind, count = line.split()
        processor, clock = time.process_time(), time.perf_counter()
        kinds[kind](int(count))
        print(time.process_time() - processor, time.perf_counter() - clock, file=answers, flush=True)


def _peak() -> float:
    """Return this program's peak memory in MB; Linux's getrusage would count the parent's before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / _KIB_PER_MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS says bytes


def _ours() -> tuple[str, dict[str, Work]]:
    desk: Any = import_module("benchmarks.router_path").Desk
    kinds = {
        "traced": desk(traced=True),
        "untraced": desk(),
        "step": desk(as_step=True),
        "fallback": desk(traced=True, fall_back=True),
    }
    return "agentfabric", {kind: _at(made) for kind, made in kinds.items()}


def _at(desk: Any) -> Work:  # noqa: ANN401  known by name only
    def work(count: int) -> None:
        for number in range(1, count + 1):
            assert desk.call().answer["label"] == "MIT"
            if not number % _HANDED_ON or number == count:
                desk.hand_on()

    return work


def _litellm() -> tuple[str, dict[str, Work]]:
    litellm, told = _recording()
    pool = [deployment("pool", number) for number in range(DEPLOYMENTS)]
    plain = [deployment("pool", number, limited=False) for number in range(DEPLOYMENTS)]
    down = deployment("down", 0, answer="litellm.InternalServerError")
    backed: Any = {"fallbacks": [{"down": ["pool"]}], "disable_cooldowns": True}
    routers = {
        "plain": ("pool", litellm.Router(model_list=plain, num_retries=0)),
        "limits": ("pool", litellm.Router(model_list=pool, **LIMITED)),
        "fallback": ("down", litellm.Router(model_list=[down, *pool[1:]], **LIMITED, **backed)),
    }
    kinds = {kind: _asking(router, group, told) for kind, (group, router) in routers.items()}
    return f"LiteLLM {version('litellm')}", kinds


def _litellm_traced() -> tuple[str, dict[str, Work]]:
    """Return LiteLLM with its own spans; a process of its own, because its callbacks are for all its routers."""
    litellm, told = _recording()
    telemetry: Any = import_module("litellm.integrations.opentelemetry")
    exporter: Any = import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    litellm.callbacks = [telemetry.OpenTelemetry(config=telemetry.OpenTelemetryConfig(exporter=exporter))]
    pool = [deployment("pool", number) for number in range(DEPLOYMENTS)]
    asking = _asking(litellm.Router(model_list=pool, **LIMITED), "pool", told)

    def work(count: int) -> None:
        asking(count)
        assert len(exporter.get_finished_spans()) >= count
        exporter.clear()

    return f"LiteLLM {version('litellm')}, traced", {"limits": work}


def _recording() -> tuple[Any, list[float]]:
    """Return LiteLLM, and where it writes down what each call cost."""
    litellm: Any = import_module("litellm")
    litellm.suppress_debug_info = True
    told: list[float] = []
    litellm.success_callback = [lambda call, *_: told.append(call["response_cost"])]
    return litellm, told


LIMITED: dict[str, Any] = {
    "routing_strategy": "usage-based-routing-v2",
    "enable_pre_call_checks": True,
    "num_retries": 0,
}


def deployment(group: str, number: int, *, limited: bool = True, answer: str = _ANSWER) -> dict[str, Any]:
    """Return a deployment as LiteLLM is told of it, that answers from memory."""
    told: dict[str, Any] = {"model": "openai/gpt-4o-mini", "api_key": "none", "mock_response": answer}
    if limited:
        told |= {"rpm": 1_000_000, "tpm": 1_000_000_000}
    return {"model_name": group, "litellm_params": told, "model_info": {"id": f"{group}-{number}"}}


def _asking(router: Any, group: str, told: list[float]) -> Work:  # noqa: ANN401  a peer without types here
    def work(count: int) -> None:
        told.clear()
        for number in range(count):
            messages = [{"role": "user", "content": f"{number} {_TEXT}"}]
            assert router.completion(model=group, messages=messages).choices[0].message.content == _ANSWER
        until = time.monotonic() + _PATIENCE
        while len(told) < count:  # its threads still write down what was used
            assert time.monotonic() < until, f"{len(told)} of {count} calls recorded"
            time.sleep(0.001)

    return work


def _pydantic_ai() -> tuple[str, dict[str, Work]]:
    models: Any = import_module("pydantic_ai.models")
    falling: Any = import_module("pydantic_ai.models.fallback").FallbackModel
    test: Any = import_module("pydantic_ai.models.test").TestModel
    function: Any = import_module("pydantic_ai.models.function").FunctionModel
    error: Any = import_module("pydantic_ai.exceptions").ModelHTTPError
    said: Any = import_module("pydantic_ai.messages").ModelRequest

    def fail(*_: object) -> None:
        raise error(503, "down")

    def asking(model: Any) -> Work:  # noqa: ANN401  as above
        async def ask(count: int) -> None:
            for number in range(count):
                asked = [said.user_text_prompt(f"{number} {_TEXT}")]
                found = await model.request(asked, None, models.ModelRequestParameters())
                assert found.parts[0].content == _ANSWER

        return lambda count: asyncio.run(ask(count))

    well = [test(custom_output_text=_ANSWER) for _ in range(DEPLOYMENTS)]
    kinds = {"first": falling(*well), "fallback": falling(function(fail), *well[1:])}
    name = f"pydantic-ai {version('pydantic-ai-slim')}"
    return name, {kind: asking(model) for kind, model in kinds.items()}


_SIDES = {"ours": _ours, "litellm": _litellm, "litellm-traced": _litellm_traced, "pydantic-ai": _pydantic_ai}


if __name__ == "__main__":
    main()
