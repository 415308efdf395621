"""Killed, crashed or interrupted anywhere, the fabric loses nothing, does nothing twice and keeps every order."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import local.engine
from local.sqlite.database import Database
from tests.local.invariants import problems
from tests.local.stage import ASKING, INVOICE, MIT, PLAIN, UNCLEAR, fabric, write_corpus

if TYPE_CHECKING:
    import sqlite3

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

KILLS = 50
SEED = 20260101
CLASSES = ("asking", "plain")  # some may need a human: everything goes through Azure; none may: through AWS alone
KINDS: tuple[str | bytes, ...] = (
    *(MIT, INVOICE, MIT, UNCLEAR, MIT),
    *("", MIT, INVOICE, bytes(range(256)), UNCLEAR),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty documents: most are reviewed, some need a human, some cannot be read."""
    folder = tmp_path_factory.mktemp("corpus")
    contents = {
        f"e{number % 8}/{number}.txt": f"{kind}\n{number}" if isinstance(kind, str) and kind else kind
        for number, kind in enumerate(KINDS * 4)
    }
    write_corpus(folder, {"asking.toml": ASKING, "plain.toml": PLAIN})
    write_corpus(folder / "documents", contents)
    return folder


@dataclass
class Shell:
    """Runs `agentfabric run` on the corpus, as a process of its own each time."""

    server: subprocess.Popen[str]
    corpus: Path

    def run(self, home: Path, classes: str = "asking", kill_after: float | None = None) -> tuple[int, float]:
        """Return the exit code (negative: the signal that killed it) and the seconds it lived."""
        taxonomy = str(self.corpus / f"{classes}.toml")
        arguments = ["run", str(self.corpus / "documents"), "--taxonomy", taxonomy, "--home", str(home), "--json"]
        asked = {"arguments": arguments, "out": str(home), "kill_after": kill_after}
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        return answer["code"], answer["seconds"]

    def printed(self, home: Path) -> list[dict[str, Any]]:
        """Return what the last run in that home printed."""
        return [json.loads(line) for line in Path(f"{home}.out").read_text().splitlines()]


@pytest.fixture(scope="module")
def shell(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in which processes start fast."""
    folder = write_corpus(tmp_path_factory.mktemp("first"), {"documents/a.txt": MIT, "classes.toml": ASKING})
    first = ["run", folder / "documents", "--taxonomy", folder / "classes.toml", "--home", folder / "home", "--json"]
    script = Path(__file__).with_name("forking.py")
    command = [sys.executable, str(script), *map(str, first)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Shell(server, corpus)


def _paths(corpus: Path) -> list[Path]:
    return [path for path in (corpus / "documents").rglob("*") if path.is_file()]


@contextmanager
def _read(home: Path) -> Iterator[Database]:
    with closing(Database(home / "fabric.db")) as database:
        yield database


def test_killed_at_fifty_random_moments_nothing_is_lost_doubled_or_out_of_order(
    shell: Shell, corpus: Path, tmp_path: Path
) -> None:
    """Whenever SIGKILL strikes, the runs after it end with exactly what an undisturbed run ends with."""
    usual, undisturbed = _undisturbed(shell, tmp_path)
    chance, struck = random.Random(SEED), 0
    for number, classes in enumerate(itertools.cycle(CLASSES)):
        home = tmp_path / str(number)
        moments = list(_struck_until_done(shell, home, classes, chance, usual, KILLS - struck))
        story = f"seed {SEED}, {classes}, killed after {moments}, usual are {usual} s"
        with _read(home) as database:
            assert problems(database, _paths(corpus)) == [], story
        assert shell.printed(home) == undisturbed[classes], story
        struck += len(moments)
        if struck == KILLS:
            return


def _undisturbed(shell: Shell, folder: Path) -> tuple[float, dict[str, list[dict[str, Any]]]]:
    """Return how long a run usually takes and what it prints, by its classes."""
    runs = [(classes, folder / f"{classes}-{time}") for time in range(2) for classes in CLASSES]
    usual = min(shell.run(home, classes)[1] for classes, home in runs)
    return usual, {classes: shell.printed(home) for classes, home in runs}


def _struck_until_done(
    shell: Shell, home: Path, classes: str, chance: random.Random, usual: float, most: int
) -> Iterator[float]:
    """Run and kill until a run ends by itself, or often enough; yield the moments of those that were killed.

    Later runs have less to do, so they are struck sooner.
    """
    for number in range(most):
        moment = chance.uniform(0, usual / 2 if number else usual)
        code, _seconds = shell.run(home, classes, kill_after=moment)
        if code != -signal.SIGKILL:
            assert code == 1, Path(f"{home}.err").read_text()
            return
        yield moment
    assert shell.run(home, classes)[0] == 1, Path(f"{home}.err").read_text()


def test_a_run_after_the_end_changes_nothing(shell: Shell, corpus: Path, tmp_path: Path) -> None:
    """Running once more on what is done writes no event and prints the same."""
    shell.run(tmp_path / "home")
    first = shell.printed(tmp_path / "home")
    with _read(tmp_path / "home") as database:
        count = database.connection.execute("SELECT COUNT(*) FROM record_audit").fetchone()
    shell.run(tmp_path / "home")
    assert shell.printed(tmp_path / "home") == first
    with _read(tmp_path / "home") as database:
        assert database.connection.execute("SELECT COUNT(*) FROM record_audit").fetchone() == count
        assert problems(database, _paths(corpus)) == []


# The command line in a process that gets Ctrl-C as soon as it says that everything is submitted.
INTERRUPTED = """
import os, signal, sys
from local.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in a shell's background ignores it

class Screen:
    def __init__(self, screen):
        self.screen = screen
    def __getattr__(self, name):
        return getattr(self.screen, name)
    def write(self, text):
        written = self.screen.write(text)
        if "40 queued" in text:
            os.kill(os.getpid(), signal.SIGINT)
        return written

sys.stderr = Screen(sys.stderr)
main()
"""


def test_ctrl_c_stops_with_a_word_and_the_next_run_goes_on(shell: Shell, corpus: Path, tmp_path: Path) -> None:
    """SIGINT while it works ends with 130, a sentence and no traceback; the same command then completes the review."""
    home = tmp_path / "home"
    arguments = ["run", corpus / "documents", "--taxonomy", corpus / "asking.toml", "--home", home, "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        out, err = run.communicate()
    assert (run.returncode, out) == (130, "")
    assert "nothing is lost" in err
    assert "Traceback" not in err
    assert shell.run(home)[0] == 1
    with _read(home) as database:
        assert problems(database, _paths(corpus)) == []


# --- the process dies at a commit ------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is dead: nobody catches it, and nothing is written after it."""


class Mortal(Database):
    """A database whose process dies instead of its `last`-th commit."""

    last = 0
    commits = 0

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Die at the end of the last transaction."""
        with super().transaction() as connection:
            yield connection
            if self._depth == 1:
                Mortal.commits += 1
                if Mortal.commits >= Mortal.last > 0:
                    raise Crash


def _review(home: Path, corpus: Path, crash_at: int) -> None:
    Mortal.last, Mortal.commits = crash_at, 0
    with fabric(home) as opened:
        opened.review(corpus, PLAIN)
        opened.review(corpus, ASKING, entity="batch")


@pytest.mark.parametrize(("paid", "least"), [(True, 100), (False, 30)])
def test_a_crash_at_any_commit_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, paid: bool, least: int
) -> None:
    """Dead instead of any third commit: what was submitted is completed by `resume`, all the rest by the next run."""
    monkeypatch.setattr(local.engine, "Database", Mortal)
    if paid:  # a model that is not the embedded one: every commit of a delivery stands alone
        monkeypatch.setattr(local.engine.Engine, "_together", lambda _: nullcontext())
    corpus = write_corpus(tmp_path / "corpus", {"bill.txt": INVOICE, "empty.txt": "", "good.txt": MIT})
    _review(tmp_path / "whole", corpus, crash_at=0)
    commits = Mortal.commits
    assert commits > least
    for number in range(1, commits + 1, 3):
        home = tmp_path / str(number)
        with pytest.raises(Crash):
            _review(home, corpus, crash_at=number)
        Mortal.last = 0
        with fabric(home) as resumed:
            resumed.engine.work()
            assert problems(resumed.engine.database) == [], f"crashed instead of commit {number}, resumed"
        _review(home, corpus, crash_at=0)
        with _read(home) as database:
            assert problems(database) == [], f"crashed instead of commit {number}, run again"
            assert _told(database) == {"batch", "bill.txt", "empty.txt", "good.txt"}


def _told(database: Database) -> set[str]:
    rows = database.connection.execute("SELECT DISTINCT entity FROM record_audit")
    return {entity.rpartition("/")[2] for (entity,) in rows}


# --- the checker sees what it is there to see ------------------------------------------------------------------

DAMAGE = {
    "a lost task": ("DELETE FROM tasks WHERE body LIKE '%good.txt%'", "good.txt is in 0 tasks"),
    "a lost ending": (
        "DELETE FROM record_audit WHERE type = 'document.reviewed' AND entity LIKE '%/good.txt'",
        "ended 0 times",
    ),
    "a lost approval": ("DELETE FROM approvals", "ended 0 times"),
    "a doubled ending": (
        """
        INSERT INTO record_audit (tenant, entity, sequence, event_id, type, task, time, body, hash)
        SELECT tenant, entity, sequence + 10, event_id, type, task, time, body, hash
        FROM record_audit WHERE type = 'document.reviewed' AND entity LIKE '%/good.txt'
        """,
        "ended 2 times",
    ),
    "a gap": ("DELETE FROM record_audit WHERE entity LIKE '%/good.txt' AND sequence = 5", "has the numbers"),
    "a changed word": (
        "UPDATE record_audit SET body = replace(body, 'Copyright', 'Copyleft') WHERE entity LIKE '%/good.txt'",
        "good.txt holds up to",
    ),
    "a lost last event": (
        "DELETE FROM record_audit WHERE entity LIKE '%/good.txt' AND type = 'task.completed'",
        "tell running",
    ),
    "a lost bill": (
        "DELETE FROM record_billing WHERE event_id = (SELECT MIN(event_id) FROM record_billing)",
        "bills and",
    ),
    "another sum": ("UPDATE record_billing SET cost_micro_usd = cost_micro_usd + 1", "and was billed"),
    "money set aside": (
        "UPDATE ledger_leases SET held = 5",
        "and holds 5",
    ),
    "an unsent event": ("INSERT INTO outbox VALUES (1, 'x', 'local', 'good.txt', '{}')", "1 rows are left in outbox"),
    "a parked event": (
        "INSERT INTO record_parked VALUES ('local', 'good.txt', 99, 'gap', '', '{}', '')",
        "1 rows are left in record_parked",
    ),
    "an orchestration nobody ends": (
        "UPDATE durable_instances SET status = 'Running' WHERE name = 'review_document_v1'",
        "orchestrations at work",
    ),
    "an orchestration that forgot its human": (
        "UPDATE durable_instances SET status = 'Completed' WHERE name = 'approval_checkpoint_v1'",
        "orchestrations at work",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_the_checker_reports_damage(name: str, tmp_path: Path) -> None:
    """Damage done to a fabric in order is reported for what it is."""
    statement, complaint = DAMAGE[name]
    corpus = write_corpus(tmp_path, {"bill.txt": INVOICE, "good.txt": MIT})
    with fabric() as opened:
        opened.review(corpus)
        database = opened.engine.database
        assert problems(database, list(corpus.iterdir())) == []
        assert database.connection.execute(statement).rowcount > 0
        assert [found for found in problems(database, list(corpus.iterdir())) if complaint in found]
