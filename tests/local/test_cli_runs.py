"""`run` and `resume` as a person meets them: exit codes, trying again, two at once, Ctrl-C."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from local.backlog import Backlog
from local.clock import RealClock
from local.lock import exclusive
from local.report import Progress
from tests.local.stage import INVOICE, MIT, PLAIN, write_corpus
from tests.local.typed import DONE, FAILED, USAGE, Said

if TYPE_CHECKING:
    from tests.local.typed import Shell

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

INTERRUPTED = 130


def test_what_was_cancelled_is_done(shell: Shell) -> None:
    """A cancelled document is what somebody wanted: the run ends with 0, and its sums name it."""
    (bill,) = shell.run(bill=INVOICE).lines
    shell.type("cancel", bill["task"])
    said = shell.type("run", "documents", "--taxonomy", "asking.toml")
    assert said.code == DONE
    assert "1 cancelled" in said.out


def test_resume_is_1_when_something_fails_under_it(shell: Shell) -> None:
    """Resuming ends with 1 when a document failed of the work it did, and says how many; later it did none."""
    write_corpus(shell.folder, {"empty.txt": "", "a.txt": MIT})
    shell.type("submit", "a.txt", "empty.txt", "--entity", "pair", "--taxonomy", "plain.toml")
    resumed = shell.type("resume")
    assert (resumed.code, "1 failed now" in resumed.out) == (FAILED, True)
    resumed = shell.type("resume")
    assert (resumed.code, "failed" in resumed.out) == (DONE, False)


def test_failures_name_the_way_to_try_again(shell: Shell) -> None:
    """A run with failures says how to try them again; doing so leaves what was reviewed alone."""
    said = shell.run(empty="", good=MIT)
    assert "--again tries that again" in said.err
    again = shell.type("run", "documents", "--taxonomy", "asking.toml", "--json", "--again")
    assert again.code == FAILED
    before, after = said.lines, again.lines
    assert before[0]["task"] != after[0]["task"]
    assert before[1] == after[1]
    assert "--again" not in shell.type("run", "documents/good.txt", "--taxonomy", "asking.toml").err


def test_the_same_classes_by_another_name_are_the_same(shell: Shell) -> None:
    """What a review is of is told by the content of its taxonomy, not by the name of that file."""
    write_corpus(shell.folder, {"a.txt": MIT, "copy.toml": PLAIN})
    first = shell.type("run", "a.txt", "--taxonomy", "plain.toml", "--json")
    assert shell.type("run", "a.txt", "--taxonomy", "copy.toml", "--json").out == first.out


def test_an_empty_folder_is_one_sentence(shell: Shell) -> None:
    """Where there is nothing to review, nothing is said but that, and no state is made."""
    (shell.folder / "empty").mkdir()
    assert shell.type("run", "empty") == Said(USAGE, "", "agentfabric: no documents in empty\n")
    assert not (shell.folder / ".agentfabric").exists()


def test_a_second_run_follows_the_first(shell: Shell) -> None:
    """While another process works on the folder a run waits for it, and ends like any run."""
    write_corpus(shell.folder, {"documents/good.txt": MIT})
    with ExitStack() as held:
        held.enter_context(exclusive(shell.folder / ".agentfabric/engine.lock"))
        shell.monkeypatch.setattr(RealClock, "wait", lambda *_: held.close())
        said = shell.type("run", "documents", "--taxonomy", "plain.toml", "--json")
    assert (said.code, said.lines[0]["status"]) == (DONE, "done")
    assert "another agentfabric is at work" in said.err


def test_ctrl_c_while_following_ends_with_130(shell: Shell) -> None:
    """Who does not want to wait for the other process may leave, and is told that nothing is lost."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    write_corpus(shell.folder, {"documents/good.txt": MIT})
    shell.monkeypatch.setattr(RealClock, "wait", interrupted)
    with exclusive(shell.folder / ".agentfabric/engine.lock"):
        said = shell.type("run", "documents", "--taxonomy", "plain.toml")
    assert (said.code, said.out) == (INTERRUPTED, "")
    assert "nothing is lost" in said.err


def test_ctrl_c_while_it_is_still_loading_ends_with_130(shell: Shell) -> None:
    """Interrupted before it knows its verbs, the command says so instead of showing where it was."""

    class Impatient:
        """Somebody presses Ctrl-C as soon as the verbs are looked for."""

        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            """Interrupt."""
            if name == "local.cli.verbs":
                raise KeyboardInterrupt

    shell.monkeypatch.delitem(sys.modules, "local.cli.verbs")
    shell.monkeypatch.setattr(sys, "meta_path", [Impatient, *sys.meta_path])
    said = shell.type("tasks")
    assert (said.code, said.out) == (INTERRUPTED, "")
    assert "nothing is lost" in said.err


def test_a_long_submission_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Hashing and submitting very many documents shows how far it is, now and then."""
    moments = iter(range(10))
    progress = Progress(Backlog(), clock=lambda: next(moments))
    for done in range(1_000, 4_000, 1_000):
        progress.submitted(done, 10_000)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("submitting 2,000 of 10")
