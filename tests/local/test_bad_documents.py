"""Hostile documents, all in one run: each ends with a clear reason, and their good neighbours never notice."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import subprocess
import sys
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from local.sqlite.database import Database
from tests.local.invariants import problems
from tests.local.stage import ASKING, INVOICE, MIT, PLAIN, fabric, write_corpus

if TYPE_CHECKING:
    from local.corpus import Item

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

CANARY = "xylophone7canary"
NOTE = f"{CANARY}: the quarterly figures are secret. " * 3
MIB = 1024 * 1024
_MAIN = "from local.cli import main; main()"
LONG_NAME = "n" * 250 + ".txt"


def _pdf(text: str = "", *, password: str = "") -> bytes:
    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    if text:
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        named = DictionaryObject({NameObject(key): NameObject(value) for key, value in font.items()})
        fonts = DictionaryObject({NameObject("/F1"): named})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
    if password:
        writer.encrypt(password, algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _broken_pdf() -> bytes:
    """A PDF whose objects quote the canary where numbers belong."""
    return b"%PDF-1.4\n1 0 obj\n<< /Type /" + CANARY.encode() + b" /Pages 2 0 R >>\nendobj\nxref\n0 " + CANARY.encode()


# Name in the folder: content, how it must end, and a word of the reason (of the label when it is done).
BAD: dict[str, tuple[str | bytes, str, str]] = {
    "empty.txt": (b"", "failed", "empty"),
    "blank.txt": (" \n\t\r\n" * 50, "failed", "no text"),
    "empty.pdf": (b"", "failed", "empty"),
    "noise.bin": (bytes(range(256)) * 64 + CANARY.encode(), "failed", "not a text"),
    "nul.txt": (f"{NOTE}\0\0\0{NOTE}", "failed", "not a text"),
    "image.png": (b"\x89PNG\r\n\x1a\n" + NOTE.encode(), "failed", "PNG"),
    "archive.docx": (b"PK\x03\x04" + NOTE.encode(), "failed", "Office"),
    "huge.txt": (f"{NOTE}\n".encode() + b"x" * (50 * MIB), "failed", "bytes are more than"),
    "latin1.txt": (MIT.replace("permission", "pérmissiön").encode("latin-1"), "done", "mit"),
    "utf16.txt": (MIT.encode("utf-16"), "done", "mit"),
    "utf16be.txt": (MIT.encode("utf-16-be"), "done", "mit"),
    "bom.txt": (b"\xef\xbb\xbf" + MIT.encode(), "done", "mit"),
    "broken-utf8.txt": (MIT.encode()[:500] + b"\xc3\x28\xff" + MIT.encode()[500:] + "äöüß€".encode() * 9, "done", ""),
    "encrypted.pdf": (_pdf(NOTE, password="no"), "failed", "encrypted"),
    "truncated.pdf": (_pdf(NOTE)[:300], "failed", "cannot be read"),
    "broken.pdf": (_broken_pdf(), "failed", "cannot be read"),
    "scanned.pdf": (_pdf(), "failed", "no text"),
    "deep.html": ("<html>" + "<div>" * 100_000 + NOTE, "failed", "nested deeper"),
    "deep.md": ("> " * 50_000 + NOTE, "", ""),
    "brackets.md": ("[" * 50_000 + NOTE, "", ""),
    "unclosed.html": (f"<html><p>{NOTE}<table><tr><td>{NOTE}<script>{CANARY}", "done", "unknown"),
    "one-line.txt": ("herons " * (10 * MIB // 7), "done", "unknown"),
    "pdf-named.txt": (_pdf("Seventeen herons stood in the shallow water."), "done", "unknown"),
    "text-named.pdf": (MIT, "done", "mit"),
    "bomb.pdf": (zlib.compress(b"\0" * 10 * MIB), "failed", "not a text"),
    "line\nbreak.txt": (MIT, "done", "mit"),
    "quote'\"`$(id);.txt": (MIT, "done", "mit"),
    "ünï-文書-🦜.txt": (MIT, "done", "mit"),
    "%2e%2e%2f?#&.txt": (MIT, "done", "mit"),
    " leading and trailing .txt ": (MIT, "done", "mit"),
    "[bold]markup[/bold].txt": (MIT, "done", "mit"),
    LONG_NAME: (MIT, "done", "mit"),
}
GOOD = [f"good/{number}.txt" for number in range(5)]


@dataclass(frozen=True)
class Ended:
    """How a run over the hostile folder ended."""

    code: int
    err: str
    lines: dict[str, dict[str, Any]]
    home: Path

    def status(self, name: str) -> tuple[str, str]:
        """Return how a document ended, and its reason."""
        return self.lines[name]["status"], self.lines[name]["reason"] or ""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Ended:
    """One run over all of them at once, by the real command in a process of its own."""
    top = tmp_path_factory.mktemp("bad")
    folder = write_corpus(top / "documents", {name: content for name, (content, _, _) in BAD.items()})
    write_corpus(folder, {name: f"{MIT}\n{name}" for name in GOOD})
    write_corpus(top, {"classes.toml": PLAIN, "outside.txt": f"{MIT}\noutside", "named.txt": f"{MIT}\nnamed"})
    (folder / "dangling.txt").symlink_to(top / "nowhere")
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    (folder / "link.txt").symlink_to(top / "outside.txt")
    (folder / "link").symlink_to(top, target_is_directory=True)
    (folder / "to-named.txt").symlink_to(top / "named.txt")
    (folder / "to-good.txt").symlink_to(folder / GOOD[0])
    (top / "explicit.txt").symlink_to(top / "named.txt")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.txt")
    os.mknod(folder / "socket.txt", stat.S_IFSOCK | 0o600)
    surrogate = os.fsdecode(os.fsencode(folder) + b"/bad-\xff-name.txt")
    Path(surrogate).write_text(MIT)
    arguments = ["run", folder, top / "explicit.txt", "--taxonomy", top / "classes.toml"]
    arguments += ["--home", top / "home", "--json"]
    run = subprocess.run(
        [sys.executable, "-c", _MAIN, *map(str, arguments)],
        cwd=root,
        capture_output=True,
        check=False,
    )
    err = run.stderr.decode()
    assert run.stdout, err
    lines = [json.loads(line) for line in run.stdout.decode("utf-8", "surrogateescape").splitlines()]
    return Ended(run.returncode, err, {line["path"].removeprefix(f"{folder}/"): line for line in lines}, top / "home")


def test_no_exception_escapes(ended: Ended) -> None:
    """The run ends in order, with the exit code of a run in which documents failed."""
    assert "Traceback" not in ended.err
    assert ended.code == 1


@pytest.mark.parametrize("name", BAD)
def test_a_hostile_document_ends_clearly(ended: Ended, name: str) -> None:
    """Each is reviewed, or failed with a reason that names what is wrong with it."""
    _, status, word = BAD[name]
    said, reason = ended.status(name)
    assert said in ({status} if status else {"done", "failed"}), reason
    assert word in (ended.lines[name]["label"] if said == "done" else reason)
    assert said == "done" or len(reason) > 10


def test_the_good_neighbours_are_all_done(ended: Ended) -> None:
    """Documents beside hostile ones are reviewed as if they were alone."""
    assert {ended.status(name)[0] for name in GOOD} == {"done"}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("dangling.txt", "links lead nowhere"),
        ("itself.txt", "links lead nowhere"),
        ("link.txt", "links to a file outside the folder; name it to include it"),
        ("link", "links to a file outside the folder; name it to include it"),
        ("pipe.txt", "it is a pipe"),
        ("socket.txt", "it is a socket"),
    ],
)
def test_what_is_no_file_of_the_folder_has_failed(ended: Ended, name: str, word: str) -> None:
    """Pipes, sockets, and links that lead nowhere or out of the folder are told of, and never read."""
    status, reason = ended.status(name)
    assert status == "failed"
    assert word in reason


def test_links_to_what_was_named_are_followed_once(ended: Ended) -> None:
    """A link to a file or folder of the run says nothing new; a link to another named file is that file."""
    assert ended.status("to-named.txt")[0] == "done"
    assert not {"to-good.txt", "loop", f"{ended.home.parent}/explicit.txt"} & set(ended.lines)
    assert not [name for name in ended.lines if name.startswith(("loop/", "link/"))]


def test_a_name_that_is_no_text_is_a_document_all_the_same(ended: Ended) -> None:
    """A file whose name is no UTF-8 is reviewed under a name that can be printed."""
    (line,) = [line for name, line in ended.lines.items() if name.startswith("bad-")]
    assert (line["status"], line["label"]) == ("done", "mit")


def test_no_document_speaks_in_a_log_or_a_dead_letter(ended: Ended) -> None:
    """Words of a document are in no log line, no reason of a failure, and no dead letter's reason."""
    assert CANARY not in ended.err
    assert not [name for name, line in ended.lines.items() if CANARY in (line["reason"] or "")]
    with closing(Database(ended.home / "fabric.db")) as database:
        assert database.connection.execute("SELECT reason FROM dead_letters").fetchall() == []


def test_the_record_of_it_is_in_order(ended: Ended) -> None:
    """Events, bills and queues after such a run are what they are after any run."""
    with closing(Database(ended.home / "fabric.db")) as database:
        assert problems(database) == []


def test_names_do_not_speak_to_the_terminal(tmp_path: Path, root: Path) -> None:
    """Escape sequences, markup and bytes that are no text, in a file's name, are shown as what they are."""
    folder = write_corpus(tmp_path / "documents", {"[/b] :smile:.txt": INVOICE, "red\x1b[31m\x07.txt": INVOICE})
    Path(os.fsdecode(os.fsencode(folder) + b"/bad-\xff.txt")).write_text(f"{NOTE}\x1b[31m")
    taxonomy = write_corpus(tmp_path, {"classes.toml": ASKING}) / "classes.toml"
    arguments = ["run", folder, "--taxonomy", taxonomy, "--home", tmp_path / "home"]
    run = subprocess.run(
        [sys.executable, "-c", _MAIN, *map(str, arguments)],
        cwd=root,
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    assert run.returncode == 3, run.stderr.decode()
    shown = run.stdout.decode()
    assert not {"\x1b", "\x07"} & set(shown)
    assert "[/b] :smile:.txt" in shown
    assert "3 documents: 2 waiting, 1 done" in shown


# --- what happens between submission and review ----------------------------------------------------------------


def _become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _reviewed_after(tmp_path: Path, change: Any) -> dict[str, Item]:
    corpus = write_corpus(tmp_path / "corpus", {"bad.txt": NOTE, "good.txt": MIT})
    with fabric() as opened:
        review = opened.submit(corpus, PLAIN)
        change(corpus / "bad.txt")
        opened.engine.work(review.heard)
        assert problems(opened.engine.database) == []
        return {item.name: item for item in review.collected()}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text(NOTE.upper()), "changed since it was submitted"),
        (lambda path: path.write_bytes(b""), "changed since it was submitted"),
        (lambda path: path.write_bytes(b"x" * (21 * MIB)), "larger than"),
        (lambda path: (path.unlink(), path.mkdir()), "no regular file"),
        (_become_a_pipe, "no regular file"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "outside the folders"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "links lead nowhere"),
        (lambda path: (path.unlink(), path.symlink_to(path.with_name("nowhere"))), "outside the folders"),
    ],
    ids=["removed", "changed", "emptied", "grown", "folder", "pipe", "astray", "itself", "dangling"],
)
def test_a_file_that_is_another_when_it_is_read(
    tmp_path: Path, change: Any, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A document that is gone, changed or replaced after its submission fails with that reason, alone."""
    caplog.set_level(logging.DEBUG)
    items = _reviewed_after(tmp_path, change)
    assert (items["bad.txt"].status, items["good.txt"].status) == ("failed", "done")
    assert word in items["bad.txt"].reason
    assert CANARY not in caplog.text + items["bad.txt"].reason


def test_a_file_nobody_may_read_fails_at_once(tmp_path: Path) -> None:
    """A path that cannot be read is reported with the system's reason, and its neighbours are reviewed."""
    from local.corpus import Item, referenced  # noqa: PLC0415  next to what it shows

    gone = referenced(Item(tmp_path / "gone.txt", "gone.txt", "gone"))
    folder = referenced(Item(tmp_path, "folder", "folder"))
    assert (gone.status, gone.reason) == ("failed", "cannot read it: No such file or directory")
    assert (folder.status, folder.reason) == ("failed", "cannot read it: Is a directory")


def test_a_folder_nobody_may_look_into_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in a folder that cannot be listed is not passed over in silence."""
    from local.corpus import documents_in  # noqa: PLC0415  next to what it shows

    write_corpus(tmp_path, {"closed/a.txt": MIT, "open/b.txt": MIT})
    listed = os.scandir

    def scandir(place: str) -> Any:
        if place.endswith("closed"):
            raise PermissionError(13, "Permission denied", place)
        return listed(place)

    monkeypatch.setattr(os, "scandir", scandir)
    found = {item.name: (item.status, item.reason) for item in documents_in([tmp_path])}
    assert found == {"open/b.txt": ("queued", ""), "closed": ("failed", "cannot look into it: Permission denied")}


def test_a_link_named_on_the_command_line_is_followed(tmp_path: Path) -> None:
    """Who names a link means what it leads to, wherever that is."""
    from local.corpus import documents_in, referenced  # noqa: PLC0415  next to what it shows

    write_corpus(tmp_path, {"elsewhere/a.txt": MIT})
    (tmp_path / "link.txt").symlink_to(tmp_path / "elsewhere/a.txt")
    (item,) = documents_in([tmp_path / "link.txt"])
    assert (referenced(item).status, item.entity) == ("queued", str(tmp_path / "elsewhere/a.txt"))
