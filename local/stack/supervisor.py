"""Starts the parts in the order of their needs, side by side where it can, and stops them.

What runs is in the state file, so that any process may stop it or start the rest. May know parts as `Part` says;
must not know any of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from local.lock import exclusive
from local.stack import processes, sockets, state
from local.stack.part import ROOT, Command, Failed, Part, Requirement, Room
from local.stack.processes import Process
from local.stack.state import Entry
from shared.errors import Permanent

_PAUSE_SECONDS = 0.05
_TAIL_LINES = 20

Say = Callable[[str, str], None]


@dataclass(slots=True)
class Started:
    """What an `up` came to: parts that run, and parts that could not be started with what they lack."""

    running: list[str] = field(default_factory=list)
    missing: dict[str, list[Requirement]] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)


class Supervisor:
    """The stack whose state is in `folder`; `say` is told what happens to which part."""

    def __init__(self, folder: Path, parts: Sequence[Part], say: Say = lambda _part, _what: None) -> None:
        self._folder = folder.resolve()
        self._parts = {part.name: part for part in parts}
        self._say = say
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._state = state.load(self._folder)

    # what may be asked

    def up(self, wanted: Collection[str] = (), *, keep: bool | None = None) -> Started:
        """Start what does not run yet, of these parts (and all they need) or of all.

        `keep` says what happens to the data: True keeps it, False begins anew (and stops what runs first); None begins
        anew unless a part runs, whose data the others must go on with. Raises Failed, having stopped what it started.
        """
        with self._alone():
            self._make_room(keep=keep)
            plan, result = self._plan(wanted)
            fresh: list[str] = []
            try:
                self._start_all(plan, fresh)
            except BaseException:
                self._stopping.set()
                self._stop([name for name in fresh if name in self._state.entries])
                raise
            result.running = [part.name for part in plan]
            return result

    def down(self, *, keep: bool = True) -> list[str]:
        """Stop everything and return the names of what ran; Failed when something cannot be stopped."""
        with self._alone():
            ran = [name for name in self._state.entries if self._state.lives(name)]
            self._stop(list(self._state.entries))
            left = [pid for pid in processes.marked(self._state.mark) if pid != os.getpid()]
            processes.kill(left)
            if remaining := processes.marked(self._state.mark):
                raise Failed(f"cannot be stopped: process {', '.join(map(str, remaining))}", code="still-running")
            if not keep:
                shutil.rmtree(self._folder / "data", ignore_errors=True)
            return ran

    def restart(self, name: str, *, kill: bool = False) -> None:
        """Stop a part, or kill it as a crash would, and have it back on its ports with the data that it kept.

        Who was told something that is not so any more is started again, too; everybody else runs on.
        """
        with self._alone():
            if not self._state.lives(name):
                raise Permanent(f"{name} does not run", code="not-up")
            running = [one for one in self._state.entries if self._state.lives(one)]
            process = self._state.entries[name].process
            if kill and process is not None:
                processes.strike(process)
            self._stop([name])
            plan, _ = self._plan(running)
            self._start_all(plan, [])

    def log(self, name: str) -> Path:
        """Return where a part's log is."""
        return self._folder / "logs" / f"{name}.log"

    # before anything is started

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with exclusive(self._folder / "lock") as mine:
            if not mine:
                raise Permanent(f"somebody else starts or stops the stack in {self._folder} right now", code="busy")
            self._state = state.load(self._folder)
            self._stopping.clear()
            yield

    def _make_room(self, *, keep: bool | None) -> None:
        """Forget what has died, with all it left behind, and drop the data when that is wished."""
        entries = self._state.entries
        alive = [name for name, entry in entries.items() if entry.process and self._state.lives(name)]
        if keep is False or not alive:
            self._stop(list(entries))
            alive = []
        else:
            self._stop([name for name, entry in entries.items() if entry.process and name not in alive])
        if not alive and not keep:
            for kept in ("data", "logs"):
                shutil.rmtree(self._folder / kept, ignore_errors=True)
            self._state.entries.clear()
            self._save()

    def _plan(self, wanted: Collection[str]) -> tuple[list[Part], Started]:
        """Return the parts to have running, needs first, and what cannot be had."""
        result = Started()
        plan: list[Part] = []
        for part in self._in_order(wanted or list(self._parts)):
            lacking = part.missing()
            absent = next((need for need in part.needs if need in result.missing or need in result.without), None)
            if lacking:
                result.missing[part.name] = lacking
            elif absent:
                result.without[part.name] = absent
            else:
                plan.append(part)
        return plan, result

    def _in_order(self, wanted: Collection[str]) -> list[Part]:
        """Return parts with all they need, each behind its needs."""
        found: dict[str, Part] = {}

        def add(name: str) -> None:
            if name not in self._parts:
                raise Permanent(f"no part {name!r}; there are {', '.join(self._parts)}", code="unknown-part")
            for need in self._parts[name].needs:
                add(need)
            found.setdefault(name, self._parts[name])

        for name in wanted:
            add(name)
        return list(found.values())

    # starting

    def _start_all(self, plan: Sequence[Part], fresh: list[str]) -> None:
        """Start the parts whose needs are ready, until all are; the first failure ends it."""
        ports = self._ports(plan)
        waiting, going = list(plan), dict[Future[None], Part]()
        done: set[str] = set()
        with ThreadPoolExecutor(max_workers=max(1, len(plan))) as pool, self._interruptible():
            while waiting or going:
                for part in [part for part in waiting if done.issuperset(part.needs)]:
                    waiting.remove(part)
                    going[pool.submit(self._bring_up, part, ports[part.name], fresh)] = part
                finished, _ = wait(going, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    done.add(going.pop(future).name)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let every start give up when one fails or somebody interrupts: the pool waits for all of them."""
        try:
            yield
        except BaseException:
            self._stopping.set()
            raise

    def _ports(self, plan: Sequence[Part]) -> dict[str, dict[str, int]]:
        """Return each part's ports: those it had, where its data or its neighbours count on them, else new ones."""
        given: dict[str, dict[str, int]] = {}
        for part in plan:
            before = self._state.entries.get(part.name)
            had = dict(before.ports) if before else {}
            taken = None
            if not self._state.lives(part.name):
                taken = next((port for port in had.values() if not sockets.is_free(port)), None)
            if taken:
                raise Failed(
                    f"{part.name}: port {taken}, which it had and others know, is taken by another program;"
                    " stop that one, or begin anew with --fresh",
                    code="port-taken",
                )
            given[part.name] = had
        lacking = [(part, port) for part in plan for port in part.ports if port not in given[part.name]]
        for (part, name), port in zip(lacking, sockets.free_ports(len(lacking)), strict=True):
            given[part.name][name] = port
        return given

    def _bring_up(self, part: Part, ports: Mapping[str, int], fresh: list[str]) -> None:
        """Have a part running and prepared; one that runs is started again when it was given other facts."""
        room = self._room(part, ports)
        if self._state.lives(part.name) and self._state.entries[part.name].given == _digest(room):
            self._say(part.name, "runs already")
            return
        began = time.monotonic()
        self._stop([part.name] if part.name in self._state.entries else [])
        self._say(part.name, "starting")
        fresh.append(part.name)
        self._launch(part, room)
        try:
            facts = part.prepare(room)
        except Failed:
            raise
        except (OSError, Permanent) as error:
            raise self._failure(part, f"could not be prepared: {error}") from error
        entry = self._state.entries[part.name]
        self._enter(part.name, replace(entry, facts=dict(facts), ready=True))
        self._say(part.name, f"ready in {time.monotonic() - began:.1f} s")

    def _room(self, part: Part, ports: Mapping[str, int]) -> Room:
        folder = self._folder / "data" / part.name
        folder.mkdir(parents=True, exist_ok=True)
        self.log(part.name).parent.mkdir(parents=True, exist_ok=True)
        behind = [one.name for one in self._in_order([part.name])]
        facts: dict[str, str] = {}
        for name in behind:
            if (entry := self._state.entries.get(name)) is not None and name != part.name:
                facts |= entry.facts

        def run(words: Sequence[str], environment: Mapping[str, str]) -> None:
            self._run(part, words, environment)

        return Room(folder, ports, facts, run)

    def _launch(self, part: Part, room: Room) -> None:
        """Start the part's process and wait until it is ready."""
        if part.command is None:
            self._enter(part.name, Entry(None, room.ports, given=_digest(room)))
            return
        command = part.command(room)
        environment = {**os.environ, **room.facts, **command.environment}
        process = self._spawn(part.name, command, environment, room)
        deadline = time.monotonic() + part.patience
        while not _is_ready(part, room):
            if not processes.is_alive(process):
                raise self._failure(part, f"ended with exit code {processes.exit_code(process)}")
            if time.monotonic() > deadline:
                raise self._failure(part, f"was not ready after {part.patience:.0f} s")
            self._pause()
        if not processes.is_alive(process):  # who answered then was somebody else
            raise self._failure(part, f"ended with exit code {processes.exit_code(process)}")

    def _spawn(self, name: str, command: Command, environment: Mapping[str, str], room: Room) -> Process:
        with self._writing:  # from the fork to the line in the state file nobody may come between
            if self._stopping.is_set():
                raise Failed("stopped", code="stopped")
            process = processes.start(command.words, environment, command.folder, self.log(name), self._state.mark)
            self._state.entries[name] = Entry(process, room.ports, given=_digest(room))
            state.save(self._folder, self._state)
        return process

    def _run(self, part: Part, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a command of a part's preparation to its end."""
        process = processes.start(words, environment, ROOT, self.log(part.name), self._state.mark)
        try:
            while processes.is_alive(process):
                self._pause()
            code = processes.exit_code(process)
        finally:
            processes.stop([process], grace=1.0)
        if code:
            raise self._failure(part, f"`{Path(words[0]).name} {words[1]}` ended with exit code {code}")

    def _pause(self) -> None:
        if self._stopping.wait(_PAUSE_SECONDS):
            raise Failed("stopped", code="stopped")

    def _failure(self, part: Part, what: str) -> Failed:
        log = self.log(part.name)
        with suppress(OSError):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
            what = "\n".join([f"{what}; the end of {log}:", *(f"    {line}" for line in lines)])
        return Failed(f"{part.name} {what}", code="part-failed")

    # stopping and writing down

    def _stop(self, names: Sequence[str]) -> None:
        """Stop parts, those first that need others; their ports are remembered for the data that is kept."""
        order = [name for name in self._parts if name in names]
        order += [name for name in names if name not in order]
        for name in reversed(order):
            entry = self._state.entries[name]
            if entry.process is not None:
                if processes.is_alive(entry.process):
                    self._say(name, "stopping")
                processes.stop([entry.process])
            self._enter(name, Entry(None, entry.ports))

    def _enter(self, name: str, entry: Entry) -> None:
        with self._writing:
            self._state.entries[name] = entry
            state.save(self._folder, self._state)

    def _save(self) -> None:
        with self._writing:
            state.save(self._folder, self._state)


def _is_ready(part: Part, room: Room) -> bool:
    try:
        return part.ready(room)
    except OSError:
        return False


def _digest(room: Room) -> str:
    return hashlib.sha256(json.dumps(dict(room.facts), sort_keys=True).encode()).hexdigest()
