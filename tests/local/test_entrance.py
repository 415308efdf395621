"""Documents that are refused for a passing reason: they wait as long as they were told, and come in as others end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from local.corpus import documents_in
from local.entrance import held_up, let_all_in, patience_of, with_patience
from local.review import Review
from local.wiring import TENANT
from shared.app import switches
from tests.local.invariants import problems
from tests.local.stage import ASKING, INVOICE, MIT, PERSON, PLAIN, Fabric, fabric, write_corpus
from tests.local.typed import WAITING, Shell

if TYPE_CHECKING:
    from pathlib import Path

    from shared.errors import Throttled

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
SLOW = "requests_per_minute = 1\nrequest_burst = 1"
TWELVE = {f"{number}.txt": f"{MIT} {number}" for number in range(12)}


def policy(home: Path, limits: str) -> Path:
    """Write a policy with the tenant's limits, and return the folder it is in."""
    return write_corpus(home, {"policy.toml": f"[tenants.{TENANT}]\n{limits}\n"})


def review_all(
    at: Fabric, folder: Path, taxonomy: str = PLAIN, patience: float = 60.0
) -> tuple[Review, list[Throttled]]:
    """Review a folder as `run` does, and return the review and what held it up."""
    review, held = Review(at.engine, at.taxonomy(taxonomy), PERSON), list["Throttled"]()
    review.submit(documents_in([folder]))
    work = partial(at.engine.work, review.heard)
    let_all_in(review, work, patience=patience, told=lambda refusal, _left, _seconds: held.append(refusal))
    return review, held


def statuses(review: Review) -> list[str]:
    """Return how the documents stand."""
    return sorted(item.status for item in review.collected())


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ("max_runs = 2", "runs"),
        ("requests_per_minute = 60\nrequest_burst = 3", "requests"),
        ("tokens_per_minute = 600\ntoken_burst = 60_000", "tokens"),
    ],
)
def test_who_comes_too_fast_comes_later(tmp_path: Path, limits: str, code: str) -> None:
    """Beyond a limit that passes nothing fails: all documents are reviewed in the end, each once."""
    folder = write_corpus(tmp_path / "docs", TWELVE)
    with fabric(policy(tmp_path / "home", limits)) as at:
        review, held = review_all(at, folder)
        assert statuses(review) == ["done"] * 12
        assert {refusal.code for refusal in held} == {code}
        assert problems(at.engine.database, [folder / name for name in TWELVE]) == []


def test_nobody_asks_earlier_than_it_was_told(tmp_path: Path) -> None:
    """At a request a second and two at once, ten more documents take as many seconds, and no more requests."""
    folder = write_corpus(tmp_path / "docs", TWELVE)
    with fabric(policy(tmp_path / "home", "requests_per_minute = 60\nrequest_burst = 2")) as at:
        began = at.clock.now()
        _, held = review_all(at, folder)
        assert (at.clock.now() - began).total_seconds() == pytest.approx(10.0)
        assert len(held) == 10


def test_an_ended_run_makes_room_at_once(tmp_path: Path) -> None:
    """Who saw a run of its own end does not wait for the time that was guessed when one would."""
    folder = write_corpus(tmp_path / "docs", TWELVE)
    with fabric(policy(tmp_path / "home", "max_runs = 2")) as at:
        began = at.clock.now()
        review_all(at, folder)
        assert at.clock.now() == began


def test_what_never_comes_in_is_parked(tmp_path: Path) -> None:
    """Where work is stopped, documents are parked with the operator's reason after a minute, and come in once let."""
    folder = write_corpus(tmp_path / "docs", TWELVE)
    with fabric(tmp_path / "home") as at:
        switches.stop(at.engine.ports, "all", "", by="ann", reason="a leak")
        began = at.clock.now()
        review, _ = review_all(at, folder)
        found = review.collected()
        assert {(item.status, item.task) for item in found} == {("parked", "")}
        assert found[0].reason.startswith("not let in yet: ")
        assert "a leak" in found[0].reason
        assert review.tally == {"queued": 12}
        assert 30 <= (at.clock.now() - began).total_seconds() <= 60
        switches.start(at.engine.ports, "all", "", by="ann")
        at.clock.wait(1)
        assert statuses(review_all(at, folder)[0]) == ["done"] * 12


def test_who_waits_for_people_keeps_others_outside(tmp_path: Path) -> None:
    """Where the open runs wait for decisions, the rest stays outside, and the decisions let it in."""
    folder = write_corpus(tmp_path / "docs", {f"{number}.txt": f"{INVOICE} {number}" for number in range(3)})
    with fabric(policy(tmp_path / "home", "max_runs = 2")) as at:
        review, _ = review_all(at, folder, ASKING)
        assert statuses(review) == ["parked", "waiting", "waiting"]
        for item in review.collected():
            if item.approval:
                assert at.decide(item.approval, "approved")[0] == 200
        let_all_in(review, partial(at.engine.work, review.heard))
        assert statuses(review) == ["done", "done", "waiting"]


def test_a_wait_beyond_patience_is_not_begun(tmp_path: Path) -> None:
    """Who is told to come back in a minute is parked at once."""
    folder = write_corpus(tmp_path / "docs", TWELVE)
    with fabric(policy(tmp_path / "home", SLOW)) as at:
        began = at.clock.now()
        review, held = review_all(at, folder, patience=30)
        assert (at.clock.now(), held) == (began, [])
        assert statuses(review) == ["done"] + ["parked"] * 11


def test_what_is_known_does_not_stand_in_line(tmp_path: Path) -> None:
    """Behind a document that has to wait, those that were reviewed before are found as on any other day."""
    folder = write_corpus(tmp_path / "docs", {"b.txt": MIT})
    with fabric(policy(tmp_path / "home", SLOW)) as at:
        review_all(at, folder)
        write_corpus(folder, {"a.txt": f"{MIT} a", "c.txt": ""})
        found = {item.name: item.status for item in review_all(at, folder, patience=30)[0].collected()}
        assert found == {"a.txt": "parked", "b.txt": "done", "c.txt": "parked"}


def test_money_that_its_own_runs_hold_comes_back(tmp_path: Path) -> None:
    """A day's budget that has room for four runs' worst case is enough for twelve that use little of it."""
    folder = write_corpus(tmp_path / "docs", TWELVE)
    with fabric(policy(tmp_path / "home", "daily_budget = 3_000")) as at:
        review, held = review_all(at, folder)
        assert statuses(review) == ["done"] * 12
        assert [refusal.code for refusal in held] == ["quota-used-up"] * 2


def test_a_budget_that_is_spent_is_no_line(tmp_path: Path) -> None:
    """Where no run of its own holds the money that is missing, a document is refused and not let wait."""
    folder = write_corpus(tmp_path / "docs", TWELVE)
    with fabric(policy(tmp_path / "home", "daily_budget = 100")) as at:
        review, held = review_all(at, folder)
        assert (statuses(review), held) == (["failed"] * 12, [])


def test_a_package_comes_in_whole(tmp_path: Path) -> None:
    """What was held up is the same task as if it had come in at once: nothing of it was submitted before."""
    write_corpus(tmp_path / "docs", {"a.txt": MIT, "b.txt": INVOICE})
    found: dict[str, list[tuple[object, ...]]] = {}
    for limits in ("max_runs = 9", "requests_per_minute = 60\nrequest_burst = 1"):
        home = policy(tmp_path / f"home{len(found)}", limits)
        with fabric(home) as at:
            review, _ = review_all(at, tmp_path / "docs")
            found[limits] = [(item.name, item.entity, item.task, item.position, item.status) for item in review.items]
    first, second = found.values()
    assert first == second


def test_a_throttled_run_is_no_failure(shell: Shell) -> None:
    """`run` says what was not let in and why, in the table and as JSON, and ends as one that waits does."""
    policy(shell.folder / ".agentfabric", SLOW)
    write_corpus(shell.folder / "documents", {"a.txt": MIT, "b.txt": f"{MIT} b"})
    said = shell.type("run", "documents", "--taxonomy", "plain.toml", "--patience", "1")
    assert said.code == WAITING
    assert "2 documents: 1 done, 1 parked" in said.out
    assert "1 document was not let in yet, which is no failure; the same command asks again" in said.out
    assert "too many requests at a time" in said.out
    line = shell.type("run", "documents", "--taxonomy", "plain.toml", "--patience", "1", "--json").lines[1]
    assert (line["status"], line["task"]) == ("parked", None)


def test_no_patience_is_none(shell: Shell) -> None:
    """With `--patience 0` nobody waits for a place; the same command goes on where it stopped."""
    policy(shell.folder / ".agentfabric", "requests_per_minute = 60\nrequest_burst = 1")
    write_corpus(shell.folder / "documents", {"a.txt": MIT, "b.txt": f"{MIT} b"})
    assert shell.type("run", "documents", "--taxonomy", "plain.toml", "--patience", "0").code == WAITING


@pytest.mark.parametrize(
    ("status", "answer", "seconds"),
    [
        (202, {"id": "t", "retry_after": 3.0}, None),
        (400, {"detail": "x"}, None),
        (403, {"detail": "x"}, None),
        (409, {"detail": "x", "retry_after": 1.0}, 1.0),
        (429, {"message": "Too Many Requests"}, 1.0),
        (429, {"detail": "x", "retry_after": 7.0}, 7.0),
        (500, {"detail": "x"}, None),
        (503, {}, 1.0),
    ],
)
def test_what_passes_is_known_by_its_answer(status: int, answer: dict[str, object], seconds: float | None) -> None:
    """A refusal that says when to try again passes, and so does a gateway's that says nothing."""
    refusal = held_up(status, answer)
    assert (refusal and refusal.retry_after) == seconds


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
def test_a_header_is_kept(said: str, seconds: float | None) -> None:
    """Retry-After comes along with the answer where it is a number of seconds."""
    assert patience_of(with_patience({}, {"Retry-After": said})) == seconds
