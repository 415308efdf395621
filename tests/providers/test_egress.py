"""Where a policy's candidates may be: what the name resolves to decides, and the connection goes exactly there."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from urllib3.connection import HTTPConnection

from providers.connections import _connected
from providers.egress import LOOPBACK, Egress, egress
from providers.http import Pool, Request
from shared.core.completion import NoAnswer
from shared.core.routing import Candidate
from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PUBLIC = "93.184.215.14"
METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1%eth0",
    "100.100.100.200",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a83f:8110",
    "2002:a9fe:a9fe::1",
)
PRIVATE = ("10.0.0.1", "172.16.0.9", "192.168.1.1", "100.64.0.1", "fc00::1", "::1", "127.0.0.1", "::ffff:10.0.0.1")
NOWHERE = ("0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "240.0.0.1")  # noqa: S104  nobody binds to it


class Server(BaseHTTPRequestHandler):
    """Notes who was asked for, and sends everybody on to a place of its own."""

    def do_POST(self) -> None:
        """Answer with a redirection to this very server."""
        heard: list[tuple[str, str]] = self.server.heard  # type: ignore[attr-defined]
        heard.append((self.headers["Host"].partition(":")[0], self.path))
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listening() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Serve on this machine; yield the port and what is asked."""
    heard: list[tuple[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.heard = heard  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port, heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Names:
    """A resolver that knows what it was told, one answer after the other, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the next answer; the last one for good."""
        assert host
        assert port
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def post(pool: Pool, url: str) -> int:
    """Post nothing and return the status."""
    return pool.post(Request(url, {}, b"{}"), total=5, idle=5).status


def refused(pool: Pool, url: str) -> str:
    """Post, and return why nobody was asked."""
    with pytest.raises(Permanent) as error:
        post(pool, url)
    assert error.value.code == "egress-refused"
    return str(error.value)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_refused_whatever_is_allowed(address: str) -> None:
    """An address that gives a machine's identity away is refused, however it is written and whatever is allowed."""
    everything = egress("0.0.0.0/0,::/0")
    assert "leads to" in refused(Pool(everything, resolve=Names([address])), "https://models.example.com/v1")


@pytest.mark.parametrize("address", [*PRIVATE, *NOWHERE])
def test_what_is_not_public_is_refused(address: str) -> None:
    """Private, local and meaningless addresses are refused unless their network was named."""
    refused(Pool(resolve=Names([address])), "https://models.example.com/v1")


def test_a_named_network_is_allowed() -> None:
    """A private endpoint may be asked when its network was named, and its neighbour network may not."""
    assert egress(" 10.1.0.0/16 ").checked("models.example.com", ["10.1.2.3"]) == ("10.1.2.3",)
    with pytest.raises(Permanent, match="nothing may be asked"):
        egress("10.1.0.0/16").checked("models.example.com", ["10.2.2.3"])


def test_one_bad_address_among_good_ones_refuses_all() -> None:
    """Every address of a name is judged: a good one in front does not let a bad one through."""
    refused(Pool(resolve=Names([PUBLIC, "169.254.169.254"])), "https://models.example.com/v1")


def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    """The name is resolved once, by us, and the system's resolver, which knows no such name, is not asked."""
    with listening() as (port, heard):
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        pool = Pool(Egress(LOOPBACK), resolve=names)
        assert post(pool, f"http://127.0.0.1:{port}/v1") == 302
        assert (names.asked, heard) == (1, [("127.0.0.1", "/v1")])


def test_a_name_that_moves_is_judged_again() -> None:
    """A name that resolves to another address for the next connection is judged by that one."""
    with listening() as (port, heard):
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        assert post(Pool(Egress(LOOPBACK), resolve=names), f"http://127.0.0.1:{port}/") == 302
        refused(Pool(Egress(LOOPBACK), resolve=names), f"http://127.0.0.1:{port}/")
        assert len(heard) == 1


def test_redirections_are_not_followed() -> None:
    """Who answers with another address is not believed: nothing is asked there."""
    with listening() as (port, heard):
        assert post(Pool(Egress(LOOPBACK)), f"http://127.0.0.1:{port}/v1") == 302
        assert heard == [("127.0.0.1", "/v1")]


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example.com/v1",
        "http://127.0.0.1/v1",
        "http://127.0.0.1:80@models.example.com/v1",
        "https://user:secret@models.example.com/v1",
        "https://models.example.com:99999/v1",
        "https:///v1",
        "file:///etc/passwd",
        "ftp://models.example.com/",
        "https://models.example.com/\r\nHost: other",
        "https://models.ex\u0430mple.com/",
    ],
)
def test_only_plain_https_is_asked(url: str) -> None:
    """Anything but a plain https address is refused before a name is looked up."""
    names = Names([PUBLIC])
    refused(Pool(resolve=names), url)
    assert names.asked == 0


def test_a_name_nobody_knows_costs_nothing() -> None:
    """A name that cannot be resolved is a provider that cannot be reached: another one is asked."""

    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError(f"{host}:{port}")

    with pytest.raises(NoAnswer) as ended:
        post(Pool(resolve=unknown), "https://models.example.com/")
    assert (ended.value.code, ended.value.served) == ("unreachable", False)


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://models.example.com/v1", True),
        ("http://127.0.0.1:8700/v1", True),
        ("http://127.0.0.1:80@models.example.com/", False),
        ("https://key@models.example.com/", False),
        ("http://models.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
    ],
)
def test_a_policy_says_where_in_plain_words(url: str, *, fits: bool) -> None:
    """A candidate's address with somebody's name in it, or without https, is refused with the policy."""
    said = {"name": "a", "provider": "openai", "model": "m", "url": url, "tokens_in": 1, "tokens_out": 1}
    if fits:
        assert Candidate.model_validate(said).url == url
    else:
        with pytest.raises(ValidationError):
            Candidate.model_validate(said)


def test_a_judged_connection_sends_at_once() -> None:
    """A request's body does not wait until its head is acknowledged, as with urllib3's own connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        made = _connected(HTTPConnection("127.0.0.1", port), "127.0.0.1")
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        made.close()
