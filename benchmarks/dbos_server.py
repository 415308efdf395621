"""Run by the interpreter that has DBOS: for each line `chain 100` or `fan 100` it prints the seconds that took."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from importlib.metadata import version
from typing import Any

_CHAIN, _FAN = 5, 20
_EXPECTED = {"chain": 2**_CHAIN, "fan": sum(2 * number for number in range(_FAN))}


def main() -> None:
    """Serve until the input ends."""
    dbos: Any = importlib.import_module("dbos")
    if sys.argv[2] == "in WAL":
        alchemy: Any = importlib.import_module("sqlalchemy")
        alchemy.event.listen(alchemy.Engine, "connect", _as_durable_as_ours)
    dbos.DBOS(config={"name": "peer", "system_database_url": f"sqlite:///{sys.argv[1]}", "log_level": "ERROR"})
    workflows = _workflows(dbos.DBOS)
    dbos.DBOS.launch()
    logging.disable(logging.CRITICAL)
    print(version("dbos"), flush=True)
    for line in sys.stdin:
        kind, count = line.split()
        print(asyncio.run(_timed(dbos.DBOS, workflows, kind, int(count))), flush=True)
    dbos.DBOS.destroy()


def _as_durable_as_ours(connection: Any, _: object) -> None:  # noqa: ANN401  a driver's connection
    """Spare DBOS its default, a rollback journal and a sync to the disk for each commit."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _workflows(dbos: Any) -> dict[str, Any]:  # noqa: ANN401  a peer without types here
    @dbos.step()  # type: ignore[untyped-decorator]
    def double(number: int) -> int:
        return 2 * number

    @dbos.step()  # type: ignore[untyped-decorator]
    async def double_soon(number: int) -> int:
        return 2 * number

    @dbos.workflow()  # type: ignore[untyped-decorator]
    def chain() -> int:
        number = 1
        for _ in range(_CHAIN):
            number = double(number)
        return number

    @dbos.workflow()  # type: ignore[untyped-decorator]
    async def fan() -> int:
        return sum(await asyncio.gather(*[double_soon(number) for number in range(_FAN)]))

    return {"chain": chain, "fan": fan}


async def _timed(dbos: Any, workflows: dict[str, Any], kind: str, count: int) -> float:  # noqa: ANN401  as above
    began = time.perf_counter()
    if kind == "chain":
        handles = [dbos.start_workflow(workflows[kind]) for _ in range(count)]
        results = [handle.get_result() for handle in handles]
    else:
        started = [await dbos.start_workflow_async(workflows[kind]) for _ in range(count)]
        results = [await handle.get_result() for handle in started]
    took = time.perf_counter() - began
    assert results == [_EXPECTED[kind]] * count
    return took


if __name__ == "__main__":
    main()
