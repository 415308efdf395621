"""Processes: started in a session of their own, recognised later for certain, stopped with all that they started.

A pid is reused one day, so a process is a pid and the moment it began. Whatever a process starts carries a mark in
its environment, so that on Linux it is found even after it left the group. Must not know parts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "AGENTFABRIC_STACK"
_PROC = Path("/proc")
_GRACE_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # ours to reap: until then a dead child still has its pid


@dataclass(frozen=True, slots=True)
class Process:
    """A process, and the moment it began in the words of its system."""

    pid: int
    began: str


@dataclass(frozen=True, slots=True)
class _Row:
    pid: int
    group: int
    session: int
    began: str


def start(words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path, mark: str) -> Process:
    """Start a command in a session of its own; what it says is added to the log."""
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603  the words are a part's own, never a shell's
            words,
            cwd=folder,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _CHILDREN[child.pid] = child
    row = _row(child.pid)
    return Process(child.pid, row.began if row else "")


def is_alive(process: Process) -> bool:
    """Tell whether this very process still runs."""
    child = _CHILDREN.get(process.pid)
    if child is not None and child.poll() is not None:
        return False
    row = _row(process.pid)
    return row is not None and row.began == process.began


def exit_code(process: Process) -> int | None:
    """Return how a child of ours ended; None while it runs, and for what is not our child."""
    child = _CHILDREN.get(process.pid)
    return None if child is None else child.poll()


def members(process: Process) -> list[int]:
    """Return the living processes of the group that this process leads or led."""
    reused = (row := _row(process.pid)) is not None and row.began != process.began
    if reused:  # a system hands out no pid that is still some group's, so the old group is gone
        return []
    return [row.pid for row in _rows() if process.pid in {row.group, row.session}]


def marked(mark: str) -> list[int]:
    """Return the living processes that carry the mark; only Linux lets us look."""
    _reap()
    if not _PROC.joinpath("self", "environ").exists():
        return []
    wanted = f"{MARK}={mark}".encode()
    return [row.pid for row in _rows() if wanted in _environment(row.pid)]


def stop(processes: Sequence[Process], *, grace: float = _GRACE_SECONDS) -> None:
    """Stop the processes with their groups: ask all of them, wait, then kill what is left."""
    _signal_groups(processes, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(_left(processes)) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    _signal_groups(processes, signal.SIGKILL)
    kill(list(_left(processes)))
    for process in processes:
        child = _CHILDREN.pop(process.pid, None)
        if child is not None:
            child.wait()


def strike(process: Process) -> None:
    """Kill a process with its group, as a crash would: nobody is asked, nothing is finished."""
    if members(process):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    stop([process])


def kill(pids: Sequence[int]) -> None:
    """Kill processes one by one and wait a while until they are gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(_row(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)


def _left(processes: Sequence[Process]) -> Iterator[int]:
    for process in processes:
        exit_code(process)  # reaps a child that has ended
        yield from members(process)


def _signal_groups(processes: Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        if members(process):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)


def _reap() -> None:
    """Take leave of children that have ended, or that somebody else has stopped."""
    for pid in [pid for pid, child in _CHILDREN.items() if child.poll() is not None]:
        del _CHILDREN[pid]


def boot() -> str:
    """Return what is different after a restart of the machine, where the system says so."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is another user's
        return []


def _row(pid: int) -> _Row | None:
    """Return a living process; a zombie has ended."""
    if _PROC.joinpath("self", "stat").exists():
        return _linux_row(pid)
    return next(iter(_ps_rows("-p", str(pid))), None)


def _rows() -> list[_Row]:
    if _PROC.joinpath("self", "stat").exists():
        pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())
        return [row for pid in pids if (row := _linux_row(pid))]
    return list(_ps_rows("-A"))


def _linux_row(pid: int) -> _Row | None:
    """https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, counted from behind the name."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, group, session, began = fields[0], int(fields[2]), int(fields[3]), fields[19]
    return None if state in {"Z", "X"} else _Row(pid, group, session, began)


def _ps_rows(*which: str) -> Iterator[_Row]:
    words = ["ps", "-o", "pid=,pgid=,stat=,lstart=", *which]
    listing = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603  fixed words and a number
    for line in listing.stdout.splitlines():
        pid, group, state, began = line.split(None, 3)
        if not state.startswith("Z"):
            yield _Row(int(pid), int(group), int(group), began.strip())
