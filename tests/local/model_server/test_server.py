from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from local.model_server.clock import Clock, RealClock, VirtualClock
from local.model_server.exchange import Call
from local.model_server.scenario import Phase, Scenario
from local.model_server.server import SECONDS
from local.model_server.service import MOST_BYTES, ModelService
from tests.local.model_server.asking import ALL, OPENAI, Spoken
from tests.local.model_server.conftest import Send, Serve, of

protocols = pytest.mark.parametrize("spoken", ALL, ids=str)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Recording(VirtualClock):
    """A virtual clock that notes for how long it was paused."""

    def __init__(self) -> None:
        super().__init__()
        self.paused: list[float] = []

    async def pause(self, seconds: float) -> None:
        """Note and go on."""
        self.paused.append(seconds)


def put(scenario: Scenario) -> Call:
    """Return the call that puts a scenario."""
    return Call("PUT", "/_models/scenario", body=scenario.model_dump_json(exclude_unset=True).encode())


def told(send: Send, address: str, path: str) -> Any:
    """Return the JSON at a path."""
    return send(address, Call("GET", path)).json()


@protocols
@streamed
def test_bytes_arrive_as_they_are(serve: Serve, send: Send, spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """Over HTTP a client gets what the service says in process, streams in chunks."""
    call = spoken.ask(stream=stream)
    expected = ModelService().reply(call, 0.0)
    response = send(serve(), call)
    assert (response.status, response.data) == (200, expected.content)
    assert response.headers["content-type"] == expected.headers["content-type"]
    assert (response.headers.get("transfer-encoding") == "chunked") == stream


@protocols
@streamed
def test_a_broken_stream_is_seen_by_the_client(serve: Serve, send: Send, spoken: Spoken, stream: bool) -> None:  # noqa: FBT001
    """A client of a broken stream reads its beginning and then learns that the connection is gone."""
    call = spoken.ask(stream=stream)
    response = send(serve(of(Phase(kind="broken-stream", after_bytes=50))), call, preload_content=False)
    assert response.status == 200
    with pytest.raises(urllib3.exceptions.ProtocolError):
        response.read()


@streamed
def test_truncated_json_ends_without_an_error(serve: Serve, send: Send, stream: bool) -> None:  # noqa: FBT001
    """Truncated JSON arrives without any error of the connection."""
    response = send(serve(of(Phase(kind="truncated-json"))), OPENAI.ask(stream=stream))
    assert response.status == 200
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        json.loads(response.data.rpartition(b"data: ")[2])


def test_the_connection_closes_without_an_answer(serve: Serve, send: Send) -> None:
    """In virtual time a timeout ends at once, with a connection closed before any answer."""
    with pytest.raises(urllib3.exceptions.ProtocolError):
        send(serve(of(Phase(kind="timeout"))), OPENAI.ask())


def test_a_client_gives_up_on_silence(serve: Serve, send: Send) -> None:
    """In real time nothing comes until the client gives up, and the server is there for the next one."""
    address = serve(of(Phase(kind="timeout", every=2), Phase(kind="ok")), RealClock())
    assert send(address, OPENAI.ask()).status == 200
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        send(address, OPENAI.ask(), timeout=0.1)
    assert send(address, OPENAI.ask()).status == 200
    assert [one["status"] for one in told(send, address, "/_models/log")["requests"]] == [200, None, 200]


@streamed
def test_a_slow_drip_takes_its_time(serve: Serve, send: Send, stream: bool) -> None:  # noqa: FBT001
    """A slow drip pauses behind each drop, in all as long as its bytes take."""
    clock = Recording()
    response = send(serve(of(Phase(kind="slow-drip", bytes_per_second=20)), clock), OPENAI.ask(stream=stream))
    assert sum(clock.paused) == pytest.approx(len(response.data) / 20)
    assert max(clock.paused) == pytest.approx(0.1)
    assert response.data == ModelService().reply(OPENAI.ask(stream=stream), 0.0).content


def test_latency_is_waited_for(serve: Serve, send: Send) -> None:
    """The server pauses for a reply's latency, and says in a header how long it is."""
    clock = Recording()
    response = send(serve(of(latency={"fixed": 2.5}), clock), OPENAI.ask())
    assert clock.paused == [2.5]
    assert float(response.headers[SECONDS]) == 2.5


def test_a_scenario_is_replaced_at_run_time(serve: Serve, send: Send) -> None:
    """A scenario put as JSON or as TOML holds from then on and can be read back."""
    address = serve()
    assert send(address, OPENAI.ask()).status == 200
    assert send(address, put(of(Phase(kind="503")))).status == 204
    assert send(address, OPENAI.ask()).status == 503
    assert told(send, address, "/_models/scenario")["deployments"] == {"*": {"phases": [{"kind": "503"}]}}
    toml = b'[deployments.m]\nphases = [{kind = "500"}]'
    call = Call("PUT", "/_models/scenario", headers={"content-type": "application/toml"}, body=toml)
    assert send(address, call).status == 204
    assert [send(address, OPENAI.ask(model=name)).status for name in ("m", "n")] == [500, 404]


def test_a_bad_scenario_changes_nothing(serve: Serve, send: Send) -> None:
    """A scenario that is none is refused with a sentence, and the old one holds."""
    address = serve(of(Phase(kind="503")))
    response = send(address, Call("PUT", "/_models/scenario", body=b'{"seeds": 1}'))
    assert (response.status, "seeds" in response.json()["error"]["message"]) == (400, True)
    assert send(address, OPENAI.ask()).status == 503


def test_the_virtual_clock_is_set(serve: Serve, send: Send) -> None:
    """A virtual clock is moved by a request, forwards only; phases and log follow it."""
    address = serve(of(Phase(kind="429", end=3600)))

    def move(now: object) -> int:
        return send(address, Call("POST", "/_models/clock", body=json.dumps({"now": now}).encode())).status

    assert send(address, OPENAI.ask()).headers["retry-after"] == "3600"
    assert move(3600) == 200
    assert send(address, OPENAI.ask()).status == 200
    assert [move(3599), move("soon")] == [400, 400]
    assert [one["time"] for one in told(send, address, "/_models/log")["requests"]] == [0.0, 3600.0]
    assert told(send, address, "/_models/health") == {"now": 3600.0, "virtual": True}


def test_a_real_clock_is_not_set(serve: Serve, send: Send) -> None:
    """A real clock refuses to be moved."""
    response = send(serve(clock=RealClock()), Call("POST", "/_models/clock", body=b'{"now": 1}'))
    assert (response.status, response.json()["error"]["code"]) == (400, "real-clock")


def test_the_log_is_read_and_cleared(serve: Serve, send: Send) -> None:
    """The log is read by deployment and from a number on, and cleared."""
    address = serve()
    for model in ("a", "b", "a"):
        send(address, OPENAI.ask(model=model))

    def numbers(query: str) -> list[int]:
        return [one["number"] for one in told(send, address, f"/_models/log{query}")["requests"]]

    assert [numbers(""), numbers("?deployment=a"), numbers("?after=1&limit=1")] == [[1, 2, 3], [1, 3], [2]]
    assert send(address, Call("GET", "/_models/log?after=x")).status == 400
    assert send(address, Call("DELETE", "/_models/log")).status == 204
    assert numbers("") == []


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 2 * MOST_BYTES + 1])
def test_a_huge_body_is_refused(serve: Serve, send: Send, size: int) -> None:
    """A body above the cap gets 413, whether the protocol or the server refuses it."""
    call = OPENAI.ask()
    assert send(serve(), Call(call.method, call.path, body=b" " * size)).status == 413


@pytest.mark.parametrize("make", [RealClock, VirtualClock])
def test_a_clock_does_not_go_back(make: Callable[[], Clock]) -> None:
    """Whoever asks a clock twice gets no earlier time."""
    clock = make()
    assert clock.now() <= clock.now()
