from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.lock import exclusive
from local.stack import processes, sockets, state
from local.stack.part import Failed
from local.stack.processes import Process
from local.stack.state import Entry
from shared.errors import Permanent
from tests.local.stack.trivial import FAMILY, MISSING, script, web

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.stack.conftest import MakeSupervisor


def entry(folder: Path, name: str) -> Entry:
    """Return what the state file says of a part."""
    return state.load(folder).entries[name]


def process(folder: Path, name: str) -> Process:
    """Return a part's process."""
    found = entry(folder, name).process
    assert found is not None
    return found


def test_a_part_is_up_when_it_answers_and_gone_after_down(supervise: MakeSupervisor, folder: Path) -> None:
    """A part that is up answers on the port in the state file, and after down its process is gone."""
    supervise(web("first")).up()
    served = process(folder, "first")
    assert sockets.answers(entry(folder, "first").ports["http"])
    assert supervise(web("first")).down() == ["first"]
    assert processes.members(served) == []


def test_down_from_a_process_that_started_nothing(supervise: MakeSupervisor, folder: Path, root: Path) -> None:
    """What one process started another one stops."""
    supervise(web("first")).up()
    names = "import sys, pathlib; from local.stack.supervisor import Supervisor"
    code = f"{names}; print(Supervisor(pathlib.Path(sys.argv[1]), []).down())"
    other = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=root, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == "['first']"
    assert not state.load(folder).lives("first")


def test_facts_reach_those_who_need_them(supervise: MakeSupervisor, folder: Path) -> None:
    """A part is given the facts of all that it needs, near and far, and of nobody else."""
    parts = web("first"), web("aside"), web("second", ("first",)), web("third", ("second",))
    supervise(*parts).up()
    assert (folder / "data" / "third" / "heard").read_text() == "FIRST_URL,SECOND_URL"
    assert state.facts(folder).keys() == {"FIRST_URL", "ASIDE_URL", "SECOND_URL", "THIRD_URL"}


def test_only_what_was_asked_for_and_its_needs(supervise: MakeSupervisor) -> None:
    """Asked for one part, up starts it with all it needs and nothing else."""
    parts = web("first"), web("aside"), web("second", ("first",))
    assert supervise(*parts).up(["second"]).running == ["first", "second"]


def test_an_unknown_part_is_refused(supervise: MakeSupervisor) -> None:
    """A part that does not exist is refused with the names of those that do."""
    with pytest.raises(Permanent, match="no part 'zeroth'; there are first"):
        supervise(web("first")).up(["zeroth"])


def test_progress_is_told(supervise: MakeSupervisor) -> None:
    """Each part says that it starts and when it was ready."""
    heard: list[str] = []
    supervise(web("first"), heard=heard).up()
    assert heard[0] == "first starting"
    assert heard[1].startswith("first ready in ")


def test_a_part_that_dies_shows_its_last_words(supervise: MakeSupervisor, folder: Path) -> None:
    """A part that ends too early fails the up with its exit code and last lines, and the others are stopped."""
    dying = script("dying", "print('no licence to live'); raise SystemExit(3)", ("first",))
    with pytest.raises(Failed, match=r"(?s)dying ended with exit code 3; .*no licence to live"):
        supervise(web("first"), dying).up()
    assert not state.load(folder).lives("first")


def test_a_part_that_is_never_ready(supervise: MakeSupervisor) -> None:
    """A part that runs but does not become ready fails the up when its patience ends."""
    never = script("never", "import time; time.sleep(600)", ready=False, patience=0.1)
    with pytest.raises(Failed, match="never was not ready after"):
        supervise(never).up()


def test_what_ran_before_survives_a_failed_up(supervise: MakeSupervisor, folder: Path) -> None:
    """A failed up stops what it started itself and leaves alone what ran before."""
    supervise(web("first")).up()
    with pytest.raises(Failed):
        supervise(web("first"), script("dying", "raise SystemExit(3)")).up()
    assert state.load(folder).lives("first")


def test_the_whole_family_is_stopped(supervise: MakeSupervisor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Down ends children that ignore being asked, and on Linux those that left the group, too."""
    monkeypatch.setattr(processes.stop, "__kwdefaults__", {"grace": 0.2})
    supervise(script("family", FAMILY)).up()
    mark = state.load(folder).mark
    assert len(processes.marked(mark)) == (3 if sys.platform == "linux" else 0)
    supervise().down()
    assert processes.marked(mark) == []


def test_two_ups_start_once(supervise: MakeSupervisor, folder: Path) -> None:
    """A second up finds everything running and starts nothing."""
    supervise(web("first")).up()
    before, heard = process(folder, "first"), list[str]()
    supervise(web("first"), heard=heard).up()
    assert process(folder, "first") == before
    assert heard == ["first runs already"]


def test_two_ups_at_once(supervise: MakeSupervisor, folder: Path) -> None:
    """While one process starts or stops the stack, another is refused."""
    with exclusive(folder / "lock"), pytest.raises(Permanent, match="somebody else starts or stops"):
        supervise(web("first")).up()


def test_up_brings_back_what_died(supervise: MakeSupervisor, folder: Path) -> None:
    """A part that was killed comes back on its port with its data, and the others run on."""
    parts = web("first"), web("second", ("first",))
    supervise(*parts).up()
    before, port = process(folder, "first"), entry(folder, "second").ports
    (folder / "data" / "second" / "kept").touch()
    processes.kill([process(folder, "second").pid])
    supervise(*parts).up()
    assert process(folder, "first") == before
    assert entry(folder, "second").ports == port
    assert (folder / "data" / "second" / "kept").exists()


def test_who_needs_what_changed_is_started_anew(supervise: MakeSupervisor, folder: Path) -> None:
    """A part that runs with outdated facts of a part it needs is started again."""
    parts = web("first"), web("second", ("first",))
    supervise(*parts).up()
    before = process(folder, "second")
    processes.kill([process(folder, "first").pid])
    other = replace(parts[0], prepare=lambda _: {"FIRST_URL": "elsewhere"})
    supervise(other, parts[1]).up()
    assert process(folder, "second") != before
    assert not processes.is_alive(before)


@pytest.mark.parametrize(("keep", "kept"), [(True, True), (False, False), (None, False)])
def test_data_is_kept_when_wished(supervise: MakeSupervisor, folder: Path, keep: bool | None, kept: bool) -> None:  # noqa: FBT001  the table's columns
    """Data outlives down, and the next up keeps it only when told so."""
    supervise(web("first")).up()
    (folder / "data" / "first" / "mine").touch()
    supervise(web("first")).down()
    supervise(web("first")).up(keep=keep)
    assert (folder / "data" / "first" / "mine").exists() is kept


def test_fresh_stops_what_runs(supervise: MakeSupervisor, folder: Path) -> None:
    """Beginning anew stops what runs first."""
    supervise(web("first")).up()
    before = process(folder, "first")
    supervise(web("first")).up(keep=False)
    assert not processes.is_alive(before)
    assert process(folder, "first") != before


def test_a_taken_port_is_named(supervise: MakeSupervisor, folder: Path) -> None:
    """A kept stack whose port somebody else has says which, and a fresh one takes another port."""
    supervise(web("first")).up()
    port = entry(folder, "first").ports["http"]
    supervise(web("first")).down()
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(Failed, match=f"port {port}, which it had"):
            supervise(web("first")).up(keep=True)
        supervise(web("first")).up()
        assert entry(folder, "first").ports["http"] != port


def test_a_reused_pid_is_left_alone(supervise: MakeSupervisor, folder: Path) -> None:
    """A process that has the pid of a part, but began at another time, is nobody's to stop."""
    stranger = Process(os.getpid(), "at another time")
    state.save(folder, state.State("old", processes.boot(), {"first": Entry(stranger, {}, ready=True)}))
    assert not state.load(folder).lives("first")
    assert supervise(web("first")).down() == []


def test_a_state_from_before_a_restart_of_the_machine(folder: Path) -> None:
    """What ran before the machine was restarted runs no more, whatever has its pid now."""
    row = processes._row(os.getpid())
    assert row is not None
    me = Entry(Process(row.pid, row.began), {"http": 1}, ready=True)
    state.save(folder, state.State("now", processes.boot(), {"first": me}))
    assert state.load(folder).lives("first")
    state.save(folder, state.State("now", "another boot", {"first": me}))
    assert not state.load(folder).lives("first")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mark": 1}', '{"mark": "x", "boot": "", "parts": {"a": {}}}'])
def test_a_broken_state_file_is_an_empty_one(folder: Path, text: str) -> None:
    """A state file that cannot be read stands for a stack of which nothing runs."""
    folder.mkdir()
    (folder / "state.json").write_text(text)
    assert state.load(folder).entries == {}


def test_the_state_file_is_the_owners_alone(supervise: MakeSupervisor, folder: Path) -> None:
    """Nobody else may read the state: facts carry keys."""
    supervise(web("first")).up()
    assert (folder / "state.json").stat().st_mode & 0o077 == 0
    assert json.loads((folder / "state.json").read_text())["parts"].keys() == {"first"}


def test_what_is_missing_is_said(supervise: MakeSupervisor) -> None:
    """A part that lacks something is not started, nor is who needs it; the command that installs it is told."""
    parts = web("first"), web("lacking", requires=(MISSING,)), web("second", ("lacking",))
    started = supervise(*parts).up()
    assert started.running == ["first"]
    assert started.missing["lacking"][0].install == "dig deeper"
    assert started.without == {"second": "lacking"}


def test_an_interrupted_up_leaves_nothing(folder: Path, root: Path) -> None:
    """Ctrl-C while parts start stops all that was started."""
    code = [sys.executable, "-m", "tests.local.stack.trivial", str(folder)]
    with subprocess.Popen(code, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        assert any(line == "never starting\n" for line in running.stdout)
        mark = state.load(folder).mark
        running.send_signal(signal.SIGINT)
        running.wait(timeout=120)
    assert running.returncode != 0
    assert processes.marked(mark) == []
    assert not state.load(folder).lives("first")
