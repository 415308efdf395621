from __future__ import annotations

import hashlib
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from local.stack import state
from local.stack.drill.corpus import batches
from local.stack.drill.patience import PatientClient
from local.stack.drill.proof import Evidence, Trail
from local.stack.drill.run import Drill, Outcome, Row, blows
from local.stack.drill.work import Work
from local.stack.parts import all_parts
from local.stack.supervisor import Supervisor
from shared.core.taxonomy import parse_taxonomy
from shared.errors import Permanent, Throttled, Transient
from shared.events.document import DocumentRef
from tests.local.stack.trivial import MISSING, web
from tests.local.typed import DONE, FAILED, USAGE, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.stack.drill.corpus import Batch

PARTS = {part.name: part for part in all_parts()}


@pytest.mark.timeout(900)  # sam builds and deploys first, and twelve documents are much on a busy machine
@pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
def test_killed_processes_lose_nothing_and_double_nothing(deployed: Path) -> None:
    """With Functions host, recorder and bridge killed in the middle of twelve documents, all of the proof holds."""
    rows: list[Row] = []
    drill = Drill(deployed / "stack", Supervisor(deployed / "stack", all_parts()), rows.append)
    struck = [PARTS[name] for name in ("functions", "record", "bridge")]
    ended = drill.run(blows(struck, 12, seed=1), 12, "drill-test")
    assert ended.problems == ()
    assert ended.rows == tuple(rows)
    assert {row.part for row in rows if row.killed} == {"functions", "record", "bridge"}
    assert ended.found.ends().total() == 12


# --- the plan and the corpus -----------------------------------------------------------------------------------


def test_every_process_is_struck_once_in_the_middle_of_the_work() -> None:
    """Every part that has a process is struck once, while documents are left, and a seed decides the order."""
    plan = blows(all_parts(), 200, seed=1)
    assert Counter(blow.part for blow in plan) == Counter(part.name for part in all_parts() if part.command)
    assert [blow.after for blow in plan] == sorted(blow.after for blow in plan)
    assert 0 < plan[0].after < plan[-1].after < 200
    assert plan == blows(all_parts(), 200, seed=1)
    assert len({tuple(blow.part for blow in blows(all_parts(), 200, seed)) for seed in range(5)}) > 1


def test_what_loses_by_a_kill_is_asked_to_end() -> None:
    """Azure's storage, which loses what it acknowledged, is asked to end; everything else is killed."""
    asked = {blow.part for blow in blows(all_parts(), 200, seed=1) if not blow.killed}
    assert asked == {"azurite"}


def test_a_drill_has_as_many_documents_as_it_is_asked_for_and_all_differ() -> None:
    """However few licences are installed, the documents are as many as asked for, each with its own content."""
    found = list(batches(300, "d"))
    contents = [document.content for batch in found for document in batch.documents]
    assert (len(contents), len(set(contents))) == (300, 300)
    asking = [batch for batch in found if parse_taxonomy(batch.taxonomy).may_ask]
    assert sum(len(batch.documents) for batch in asking) == 152
    assert {len(batch.documents) for batch in found if batch not in asking} == {1}


# --- patience --------------------------------------------------------------------------------------------------


class Clock:
    """A time that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds


def patient(patience: float = 10.0) -> PatientClient:
    """Return a client of a stack that is not there, with a clock of its own."""
    clock = Clock()
    return PatientClient({}, patience=patience, clock=clock, wait=clock.wait)


def test_a_patient_client_asks_again() -> None:
    """What fails for a passing reason is tried until it succeeds."""
    failures = [Transient("away")] * 5

    def flaky() -> str:
        if failures:
            raise failures.pop()
        return "here"

    assert patient().insist(flaky) == "here"


def test_a_patient_client_waits_as_long_as_it_is_told() -> None:
    """Who is refused for a time asks again after it, and not before."""
    clock, refusals = Clock(), [Throttled("slowly", retry_after=4.0)] * 2

    def busy() -> float:
        if refusals:
            raise refusals.pop()
        return clock.now

    assert PatientClient({}, clock=clock, wait=clock.wait).insist(busy) == 8.0


def test_patience_ends() -> None:
    """What fails for longer than the client's patience fails, after about as many tries as fit."""
    tries: list[int] = []

    def away() -> None:
        tries.append(1)
        raise Transient("away")

    with pytest.raises(Transient, match="away"):
        patient().insist(away)
    assert len(tries) == 21


@pytest.mark.parametrize(("status", "passing"), [(500, True), (503, True), (401, True), (404, False), (202, False)])
def test_which_answers_are_worth_another_try(status: int, passing: bool) -> None:  # noqa: FBT001  the table's column
    """A server's trouble passes, and so does an authorizer's; a refusal is an answer."""
    answers: list[tuple[int, dict[str, Any]]] = [(status, {}), (200, {})]
    got = patient()._answered(lambda: answers.pop(0))
    assert got[0] == (200 if passing else status)


# --- the work --------------------------------------------------------------------------------------------------


@dataclass
class Fabric(PatientClient):
    """A fabric that ends a task when it is looked at for the second time; with `asks`, a human is asked before."""

    asks: bool = False
    under_way: int = 0
    most: int = 0
    decided: list[str] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def documents(self) -> Iterator[Any]:
        """Take all documents."""
        yield self

    def write(self, content: bytes, media_type: str, name: str = "") -> DocumentRef:
        """Return the reference of any document."""
        sha256 = hashlib.sha256(content).hexdigest()
        return DocumentRef(uri="s3://b/k", sha256=sha256, size=len(content), media_type=media_type, name=name)

    def call_api(self, *_: object, headers: Any = None, body: Any = None, **_more: object) -> tuple[int, Any]:
        """Accept a task under its key."""
        task = headers["Idempotency-Key"]
        self.sizes[task] = str(body).count('"uri"') - 1
        self.under_way += self.sizes[task]
        self.most = max(self.most, self.under_way)
        return 202, {"id": task}

    def call(self, method: str, path: str, **_: object) -> tuple[int, Any]:
        """Show an approval, and take a decision."""
        if method == "POST":
            self.decided.append(path)
        return 200, {"digest": "d"}

    def history(self, *, task: str) -> list[dict[str, Any]]:  # type: ignore[override]  # by its task alone
        """Tell what a task has come to."""
        self.looks[task] += 1
        asked = [{"type": "approval.requested", "data": {"document": 0, "approval": task}}] if self.asks else []
        if self.looks[task] == 1:
            return asked
        if self.looks[task] == 2:
            self.under_way -= self.sizes[task]
        ends = [{"type": "document.failed", "data": {"document": one}} for one in range(self.sizes[task])]
        answered = [{"type": "approval.decided", "data": {"document": 0}}] if self.asks else []
        return [*asked, *answered, *ends, {"type": "task.completed", "data": {}}]


def worked(fabric: Fabric, found: list[Batch]) -> Work:
    """Work through batches to the end."""
    work = Work(fabric, found, pause=0)
    work.start()
    work.join()
    return work


def test_only_so_many_documents_are_under_way() -> None:
    """Documents are submitted as others end, so that no more are under way than the local AWS bears."""
    fabric = Fabric()
    work = worked(fabric, list(batches(40, "d")))
    assert (work.done, len(work.submitted)) == (40, 25)
    assert 8 <= fabric.most <= 12


def test_what_waits_is_approved_once() -> None:
    """A human's decision is given once for each approval that the record tells of."""
    fabric = Fabric(asks=True)
    found = list(batches(8, "d"))
    assert worked(fabric, found).done == 8
    assert len(fabric.decided) == len(set(fabric.decided)) == len(found)


def test_waiting_for_documents_ends_when_there_are_none_left() -> None:
    """Who waits for more documents than there are is let go at the end of the work."""
    work = Work(Fabric(), list(batches(4, "d")), pause=0)
    waiting = threading.Thread(target=lambda: reached.append(work.wait_for(100)))
    reached: list[int] = []
    waiting.start()
    work.start()
    work.join()
    waiting.join()
    assert reached == [4]


def test_a_refusal_ends_the_work() -> None:
    """A task that the API refuses is not worked around: the drill ends with the API's words."""

    class Refusing(Fabric):
        def call_api(self, *_: object, **_more: object) -> tuple[int, Any]:
            return 403, {"detail": "not you"}

    with pytest.raises(Permanent, match="refused with 403: not you"):
        worked(Refusing(), list(batches(4, "d")))


# --- the verb --------------------------------------------------------------------------------------------------


def outcome(*problems: str) -> Outcome:
    """Return how a drill of two documents ended."""
    row = Row("record", killed=True, done=1, downtime=2.5, doubled=0, in_order=True)
    events = [{"sequence": n + 1, "type": "document.failed", "taskid": "t", "data": {"document": n}} for n in range(2)]
    found = Evidence({"e": Trail(events, 2, intact=True, committed=2)}, {}, {}, {})
    return Outcome((row,), found, 2, problems, 60.0)


@pytest.mark.parametrize(("wrong", "code"), [((), DONE), (("a gap",) * 30, FAILED)])
def test_the_verb_ends_well_only_when_all_holds(shell: Shell, wrong: tuple[str, ...], code: int) -> None:
    """The exit code is 0 only when there is no problem; problems are shown, and where the logs are."""
    shell.monkeypatch.setattr("local.cli.stack.check_complete", lambda: None)
    shell.monkeypatch.setattr("local.cli.drill._run", lambda *_: outcome(*wrong))
    ended = shell.type("drill", "--documents", "2", "--home", shell.folder / "drill")
    assert ended.code == code
    assert "2 of 2" in ended.out
    assert "2 events of 1 entities recorded, 0 uses billed, 2 documents failed, in 60 s" in ended.out
    assert ended.out.count("NOT SO: a gap") == min(20, len(wrong))
    assert ("every document ended once" in ended.out) is (not wrong)
    assert str(shell.folder / "drill" / "stack") in ended.out


def test_only_what_has_a_process_can_be_killed(shell: Shell) -> None:
    """A part that does not exist, or has no process, is refused with the names of those that can be struck."""
    ended = shell.type("drill", "--parts", "record,deploy,nobody")
    assert ended.code == USAGE
    assert "no process deploy, nobody; there are" in ended.err


def test_a_drill_wants_a_home_of_its_own(shell: Shell) -> None:
    """Where a stack runs no drill begins: it would kill what others use."""
    shell.monkeypatch.setattr("local.cli.stack.check_complete", lambda: None)
    shell.monkeypatch.setattr("local.stack.state.facts", lambda _: {"FIRST_URL": "http://127.0.0.1:1"})
    ended = shell.type("drill", "--home", shell.folder)
    assert ended.code == USAGE
    assert "a drill wants one of its own" in ended.err


def test_a_drill_does_not_begin_without_all_its_parts(shell: Shell) -> None:
    """What is missing is named with the command that installs it, and nothing is started."""
    shell.monkeypatch.setattr("local.stack.parts.all_parts", lambda: [web("first", requires=(MISSING,))])
    ended = shell.type("drill", "--home", shell.folder / "drill")
    assert (ended.code, ended.out) == (FAILED, "")
    assert "unobtainium is missing: dig deeper" in ended.err
    assert not (shell.folder / "drill").exists()


def test_up_restarts_one_part(shell: Shell) -> None:
    """`up --restart` has a part back on its port, in another process, and says so of no other part."""
    parts = [web("first"), web("second", ("first",))]
    shell.monkeypatch.setattr("local.stack.parts.all_parts", lambda: parts)
    supervisor = Supervisor(shell.folder / "stack", parts)
    try:
        supervisor.up()
        before = state.load(shell.folder / "stack").entries["second"]
        ended = shell.type("up", "--restart", "second", "--home", shell.folder)
        after = state.load(shell.folder / "stack").entries["second"]
        assert ended.code == DONE
        assert "second      ready" in ended.out
        assert (after.ports, after.process != before.process) == (before.ports, True)
    finally:
        supervisor.down()
