"""Words of a document and secrets, followed through all three clouds' handlers: where they may be, and nowhere else.

The provider is as careless as one can be: whatever it answers repeats the prompt and the key.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from aws.adapters import telemetry
from local.clouds import aws
from local.review import claims
from local.wiring import using
from tests.local.stage import ASKING, INVOICE, fabric, write_corpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from local.sqlite.database import Database
    from shared.events.document import DocumentRef
    from shared.ports import Documents

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
WORD, KEY, LINK_KEY = "xylophone7canary", "key-zither8canary", "bGluay1rZXktb2Ytb25lLWNhbmFyeS0wMTIzNDU2Nzg5"
TEXT = f"{INVOICE} The {WORD} must be paid for. {WORD} is not to be told."
POLICY = """
[tenants.local]
[candidates.careless]
provider = "openai"
model = "m"
url = "{url}"
credential = "CANARY_KEY"
tokens_in = 1
tokens_out = 1
"""
# Where content of documents is kept, on purpose: what is concluded from them, with quotes (docs/decisions.md, 12),
# in the journal, in the answers that were paid for, and in the record; on the way there in outbox and queues.
LASTING = {"journal.body", "ledger_draws.answer", "record_audit.body"}
PASSING = {"outbox.body", "messages.body", "blobs.content", "answers.text"}


class Careless(BaseHTTPRequestHandler):
    """Answers in the way that the server was told, and repeats all it was asked in each."""

    def do_POST(self) -> None:
        """Repeat it."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        repeated = f"{asked} {self.headers['Authorization']} {self.headers.get('Api-Key')}"
        answers = self.server.answers  # type: ignore[attr-defined]
        status, kind, body = (answers.pop(0) if len(answers) > 1 else answers[0])(repeated)
        self.send_response(status, repeated[:50].replace("\n", " "))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", f"/{KEY}/{WORD}")
        self.send_header("X-Request-Id", f"{KEY}-{WORD}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def said(text: object, **more: object) -> bytes:
    """Return a completion in OpenAI's words."""
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    return json.dumps({"choices": [{"message": {"content": text}}], "usage": usage, **more}).encode()


WAYS: Mapping[str, object] = {
    "refuses": lambda text: (400, "application/json", json.dumps({"error": {"message": text}}).encode()),
    "refuses the key": lambda text: (401, "text/plain", text.encode()),
    "throttles": lambda text: (429, "application/json", json.dumps({"error": {"message": text}}).encode()),
    "is down": lambda text: (503, "text/html", text.encode()),
    "sends elsewhere": lambda text: (302, "text/html", text.encode()),
    "talks": lambda text: (200, "application/json", said(text)),
    "answers in another shape": lambda text: (200, "application/json", said({text: text})),
    "answers half": lambda text: (200, "application/json", said(text)[:-20]),
    "answers no JSON": lambda text: (200, "text/plain", text.encode()),
    "answers beside the schema": lambda text: (200, "application/json", said(json.dumps({text: text}))),
}


@contextmanager
def careless(way: str) -> Iterator[str]:
    """Serve in that way; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    # It ends at last: what is throttled, or down, is waited for.
    server.answers = [WAYS[way]] * 4 + [WAYS["refuses"]]  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kept(database: Database, word: str) -> set[str]:
    """Return every column of every table in which a word stands."""
    connection = database.connection
    found = set()
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608  a table's own name
            values = (one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in row)
            found |= {f"{table}.{name}" for name, value in zip(columns, values, strict=True) if word in value}
    return found


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Everything that anybody logs, however unimportant."""
    caplog.set_level(logging.DEBUG)
    telemetry._logger().setLevel("DEBUG")
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.setenv("APPROVAL_LINK_KEYS", LINK_KEY)
    return caplog


def silent(told: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Check that no log line, nor anything that was printed, holds a canary."""
    printed = capfd.readouterr()
    lines = [*printed.out.splitlines(), *printed.err.splitlines(), *(str(vars(record)) for record in told.records)]
    assert lines
    for canary in (WORD, KEY, LINK_KEY):
        assert [line[:300] for line in lines if canary in line] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_careless_provider_tells_nobody(
    tmp_path: Path, told: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], way: str
) -> None:
    """Whatever a provider repeats, no log has it, no store has the key, and the words are only where they belong."""
    folder = write_corpus(tmp_path / "documents", {"bill.txt": TEXT})
    with careless(way) as url:
        write_corpus(tmp_path / "home", {"policy.toml": POLICY.format(url=url)})
        with fabric(tmp_path / "home") as made:
            made.review(folder, ASKING)
            assert kept(made.engine.database, KEY) == kept(made.engine.database, LINK_KEY) == set()
            assert kept(made.engine.database, WORD) <= LASTING | PASSING
    silent(told, capfd)


@dataclass
class Broken:
    """Documents out of reach, in words that say too much."""

    inner: Documents

    def read(self, ref: DocumentRef) -> bytes:
        """Fail, in the words of the document and with a key."""
        if ref.media_type != "application/toml":
            raise RuntimeError(f"{WORD} {KEY} {ref.uri}")
        return self.inner.read(ref)

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Write."""
        return self.inner.write(content, media_type, name)


@pytest.mark.parametrize("entity", ["", "package:x"], ids=["on AWS", "through Azure"])
def test_what_nobody_foresaw_tells_nobody(
    tmp_path: Path, told: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], entity: str
) -> None:
    """An exception whose text quotes a document and a key is told by its type and place, on both ways of a review."""
    folder = write_corpus(tmp_path / "documents", {"a.txt": TEXT, "b.txt": TEXT + "again"})
    with fabric(adjust=lambda ports: replace(ports, documents=Broken(ports.documents))) as made:
        found = made.review(folder, ASKING, entity=entity)
        assert {item.status for item in found.values()} == {"failed"}
        assert [item.reason for item in found.values() if WORD in (item.reason or "")] == []
        assert kept(made.engine.database, KEY) == set()
        assert kept(made.engine.database, WORD) <= {"blobs.content"}
    silent(told, capfd)


def test_a_refused_request_tells_nobody(told: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """What a stranger sends is not logged: neither its body, nor its headers, nor a link that was tried."""
    with fabric() as made, using(made.engine.ports):
        body = json.dumps({WORD: KEY, "entity": WORD})
        status, _ = aws.call_api("POST", "/tasks", claims=claims("ann"), body=body, headers={"idempotency-key": KEY})
        assert status == 400
        for method in ("GET", "POST"):
            assert made.engine.azure.host.invoke_http(method, f"/api/links/{WORD}.{KEY}", {}, body).status_code >= 400
        assert kept(made.engine.database, WORD) == set()
    silent(told, capfd)


def test_the_words_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    """Where a review goes well its words are in every place that is declared for them, and the search finds them."""
    folder = write_corpus(tmp_path / "documents", {"bill.txt": TEXT})
    with fabric() as made:
        made.review(folder, ASKING)
        (approval,) = made.engine.ports.approvals.pending("local", limit=10)
        assert made.decide(approval.id, "approved")[0] == 200
        made.engine.work(lambda *_: None)
        assert kept(made.engine.database, WORD) == LASTING


def test_a_word_that_was_logged_is_found(told: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """The ears of these tests hear: a canary in a message, in an argument or on stderr is found."""
    for careless_line in (lambda: logging.getLogger("x").debug("%s", WORD), lambda: sys.stderr.write(KEY)):
        careless_line()
        with pytest.raises(AssertionError):
            silent(told, capfd)
        told.clear()
