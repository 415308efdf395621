"""Model calls over HTTP: our path behind a thin door next to LiteLLM's proxy, asked by the same client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.router_path import TEXT
from benchmarks.router_peers import KEY, Door
from benchmarks.runner import Effort, Row, at_least, in_turns

NAME, TARGET = "model calls over HTTP", at_least(10.0)
_PEER = "LiteLLM's proxy"
_CONNECTIONS = 8
_MILLI = 1e3
_NOTE = (
    f"POST /v1/chat/completions on 127.0.0.1, {_CONNECTIONS} connections kept open by one asyncio client, a key"
    " checked, one process each, nothing written to a disk. Ours: a door on aiohttp that the benchmark brings; it"
    " parses the body, goes the whole path with its spans and answers in OpenAI's words. Theirs: one worker, no"
    " database, the same deployments and limits as its router above, no spans."
)


def rows(effort: Effort, python: Path) -> Iterator[Row]:
    """Measure requests a second, and what they take of the two servers' processor."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        try:
            proxy = stack.enter_context(Door.litellm(python, Path(folder)))
        except RuntimeError as error:
            yield Row(NAME, "/s", (), _PEER, (), TARGET, f"Skipped: {error}.")
            return
        ours = _Visits(
            stack.enter_context(Door.ours(Path(folder))), effort.pick(full=3000, quick=800, tiny=_CONNECTIONS)
        )
        theirs = _Visits(proxy, effort.pick(full=400, quick=80, tiny=_CONNECTIONS))
        mine, others = in_turns(effort.repeats, ours, theirs)
    yield Row(NAME, "/s", mine, _PEER, others, TARGET, _NOTE)
    if ours.processor and theirs.processor:
        note = "Processor time of the two servers for each of the requests above."
        yield Row("… processor of the server", "ms", ours.processor, _PEER, theirs.processor, note=note)


@dataclass(slots=True)
class _Visits:
    """A contender: requests a second; keeps the server's milliseconds of processor for each beside."""

    door: Door
    count: int
    processor: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        asyncio.run(_visit(self.door.port, _CONNECTIONS))

    def __call__(self) -> float:
        before, began = self.door.processor(), time.perf_counter()
        asyncio.run(_visit(self.door.port, self.count))
        took, after = time.perf_counter() - began, self.door.processor()
        if before is not None and after is not None:
            self.processor.append((after - before) / self.count * _MILLI)
        return self.count / took


async def _visit(port: int, count: int) -> None:
    """Ask so many times, over as many connections as there are, each its next when the last is answered."""
    body = json.dumps({"model": "pool", "messages": [{"role": "user", "content": TEXT}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    shares = [len(range(first, count, _CONNECTIONS)) for first in range(_CONNECTIONS)]
    await asyncio.gather(*(_talk(port, head.encode() + body, share) for share in shares))


async def _talk(port: int, request: bytes, count: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        answer = json.loads(await reader.readexactly(int(length)))
        assert json.loads(answer["choices"][0]["message"]["content"])["label"] == "MIT"
    writer.close()
    await writer.wait_closed()
