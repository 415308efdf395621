"""What a second run makes of what a first one did: the same documents, failed ones, and a first one still at work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import local.engine
from local.clouds import aws
from local.corpus import Item, documents_in
from local.engine import ATTEMPTS
from local.lock import exclusive
from local.review import Review
from shared.core.task import Status
from shared.errors import Transient
from tests.local.faulty import Broken
from tests.local.invariants import problems
from tests.local.stage import ASKING, INVOICE, MIT, PERSON, PLAIN, UNCLEAR, Fabric, fabric, outcomes, write_corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sqlite.broker import Message

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")


def _submitted(opened: Fabric, corpus: Sequence[Item], *, again: bool) -> Review:
    review = Review(opened.engine, opened.taxonomy(PLAIN), PERSON, again)
    review.submit(corpus)
    return review


def _run(opened: Fabric, paths: Sequence[Path], *, again: bool = False) -> dict[str, Item]:
    review = _submitted(opened, list(documents_in([*paths])), again=again)
    opened.engine.work(review.heard)
    return outcomes(review)


def _tasks(opened: Fabric) -> int:
    count: int = opened.engine.database.connection.execute("SELECT COUNT(*) FROM tasks").fetchone()[0]
    return count


# --- what failed, once more --------------------------------------------------------------------------------------


def test_again_reviews_what_failed_and_nothing_else(tmp_path: Path) -> None:
    """A failed document stays failed until it is tried again; then its new outcome is what every later run finds."""
    corpus = [write_corpus(tmp_path / "corpus", {"bad.txt": UNCLEAR, "good.txt": MIT})]
    with fabric(tmp_path / "home", lambda ports: replace(ports, models=Broken(ports.models))) as broken:
        first = _run(broken, corpus)
    with fabric(tmp_path / "home") as mended:
        assert _run(mended, corpus) == first
        assert first["bad.txt"].status == "failed"
        second = _run(mended, corpus, again=True)
        assert second["good.txt"] == first["good.txt"]
        assert second["bad.txt"].status == "done"
        assert _run(mended, corpus) == second
        assert _run(mended, corpus, again=True) == second
        assert _tasks(mended) == 3
        assert problems(mended.engine.database, [corpus[0] / "good.txt"]) == []


def test_again_is_one_attempt_until_that_ended(memory: Fabric, tmp_path: Path) -> None:
    """However often a run dies before its work is done, what failed is tried once more, and not twice."""
    corpus = list(documents_in([write_corpus(tmp_path, {"empty.txt": ""})]))
    _submitted(memory, corpus, again=True)
    memory.engine.work()
    assert _tasks(memory) == 1
    for attempts in (2, 3):
        tasks = {_submitted(memory, corpus, again=True).items[0].task for _ in range(3)}
        assert len(tasks) == 1
        memory.engine.work()
        assert _tasks(memory) == attempts
    assert problems(memory.engine.database) == []


def test_again_reviews_what_was_cancelled(memory: Fabric, tmp_path: Path) -> None:
    """A cancelled document stays cancelled, and is reviewed when it is tried again."""
    corpus = list(documents_in([write_corpus(tmp_path, {"a.txt": MIT})]))
    memory.cancel(_submitted(memory, corpus, again=False).items[0].task, "a mistake")
    assert _submitted(memory, corpus, again=False).collected()[0].status == "cancelled"
    assert _run(memory, [tmp_path], again=True)["a.txt"].status == "done"


def test_of_a_package_only_the_failed_file_is_tried_again(memory: Fabric, tmp_path: Path) -> None:
    """Files that share a task fail and are tried again each for itself."""
    write_corpus(tmp_path, {"empty.txt": "", "good.txt": MIT})
    corpus = [Item(path, path.name, "package") for path in sorted(tmp_path.iterdir())]
    _submitted(memory, corpus, again=False)
    memory.engine.work()
    review = _submitted(memory, corpus, again=True)
    memory.engine.work()
    again = outcomes(review)
    assert {name: item.status for name, item in again.items()} == {"empty.txt": "failed", "good.txt": "done"}
    assert again["empty.txt"].task != again["good.txt"].task
    assert len(memory.task(again["empty.txt"].task).documents) == 1


# --- the same document -------------------------------------------------------------------------------------------


def test_a_document_is_the_same_by_whatever_path(memory: Fabric, tmp_path: Path) -> None:
    """A folder, a folder in it, a file in that, a link and a way around find the same review."""
    top = write_corpus(tmp_path, {"top/a/x.txt": MIT}) / "top"
    (tmp_path / "link").symlink_to(top / "a", target_is_directory=True)
    (first,) = _run(memory, [top]).values()
    for path in (top / "a", top / "a/x.txt", tmp_path / "link", tmp_path / "link/x.txt", top / "../top"):
        (item,) = _run(memory, [path]).values()
        assert (item.task, item.entity, item.status) == (first.task, first.entity, "done")
    assert _tasks(memory) == 1


def test_named_twice_is_one_document(tmp_path: Path) -> None:
    """A run looks at a file once, however often its paths and links lead there."""
    write_corpus(tmp_path, {"a/x.txt": MIT, "b/y.txt": MIT})
    (tmp_path / "a/again.txt").symlink_to(tmp_path / "a/x.txt")
    (tmp_path / "a/other.txt").symlink_to(tmp_path / "b/y.txt")
    found = documents_in([tmp_path / "a", tmp_path / "a/x.txt", tmp_path / "b"])
    assert [(item.name, item.status) for item in found] == [("x.txt", "queued"), ("other.txt", "queued")]


def test_two_folders_share_no_entity(tmp_path: Path) -> None:
    """Files of the same name in two folders belong to two entities."""
    write_corpus(tmp_path, {"one/a.txt": MIT, "two/a.txt": MIT})
    one, two = documents_in([tmp_path / "one", tmp_path / "two"])
    assert one.name == two.name
    assert one.entity != two.entity


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ünï-文書-🦜.txt", "ünï-文書-🦜.txt"),
        ("100% sure.txt", "100% sure.txt"),
        ("line\nbreak.txt", "line%0Abreak.txt"),
        ("line%0Abreak.txt", "line%250Abreak.txt"),
        ("bad-\udcff.txt", "bad-%FF.txt"),
    ],
)
def test_an_entity_reads_like_its_path(tmp_path: Path, name: str, shown: str) -> None:
    """Only what cannot be part of an entity's name is written otherwise, and no two names alike."""
    (tmp_path / name).write_text(MIT)
    (item,) = documents_in([tmp_path])
    assert item.entity == f"{tmp_path}/{shown}"


# --- while another engine is at work -----------------------------------------------------------------------------


def test_a_second_run_takes_over_when_the_first_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at first, an engine works as soon as the lock is free."""
    corpus = write_corpus(tmp_path / "corpus", {"a.txt": MIT})
    with ExitStack() as held, fabric(tmp_path / "home") as second:
        review = second.submit(corpus, PLAIN)
        held.enter_context(exclusive(tmp_path / "home/engine.lock"))
        monkeypatch.setattr(second.clock, "wait", lambda _: held.close())
        second.engine.work_in_turn(review.heard, enough=review.follow)
        assert review.tally == {"done": 1}


def test_a_second_run_follows_until_its_documents_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Done or waiting for a human by another engine's work is enough, though that engine never ends."""
    corpus = write_corpus(tmp_path / "corpus", {"a.txt": MIT, "bill.txt": INVOICE})
    home = tmp_path / "home"
    with ExitStack() as held, fabric(home) as second:
        review = second.submit(corpus, ASKING)
        held.enter_context(exclusive(home / "engine.lock"))

        def meanwhile(_: float) -> None:
            held.close()
            with fabric(home) as first:
                assert first.engine.work()
            held.enter_context(exclusive(home / "engine.lock"))

        monkeypatch.setattr(second.clock, "wait", meanwhile)
        second.engine.work_in_turn(review.heard, enough=review.follow)
        assert review.tally == {"done": 1, "waiting": 1}
        assert review.spent == sum(item.cost for item in review.collected()) > 0


# --- messages nobody could handle --------------------------------------------------------------------------------


def _refuse_work(_: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_again(messages: Sequence[Message]) -> set[int]:
        return {message.id for message in messages}

    monkeypatch.setattr(aws, "deliver_work", all_again)


def _refuse_pipelines(opened: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise Transient("no pipeline today")

    monkeypatch.setattr(opened.engine.express, "start", start)


def _refuse_reviews(opened: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened.engine.azure, "deliver_review", lambda _: "no review today")


@pytest.mark.parametrize(
    ("refuse", "taxonomy", "word"),
    [
        (_refuse_work, PLAIN, "dispatcher reported it"),
        (_refuse_pipelines, PLAIN, "lane's consumer reported it"),
        (_refuse_reviews, ASKING, "no review today"),
    ],
)
def test_a_buried_message_fails_its_documents(
    memory: Fabric,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refuse: Callable[[Fabric, pytest.MonkeyPatch], None],
    taxonomy: str,
    word: str,
) -> None:
    """A document whose message had its attempts has failed, with the reason, and is told of like any other."""
    refuse(memory, monkeypatch)
    corpus = write_corpus(tmp_path, {"a.txt": MIT, "b.txt": MIT})
    items = memory.review(corpus, taxonomy, entity="pair" if taxonomy is ASKING else "")
    for item in items.values():
        assert item.status == "failed"
        assert word in item.reason
        assert memory.task(item.task).status is Status.FAILED
    buried = len({item.task for item in items.values()})
    assert [attempts + 1 for _, _, attempts, _ in memory.dead_letters()] == [ATTEMPTS] * buried
    assert problems(memory.engine.database) == [f"{buried} rows are left in dead_letters"]


def test_a_buried_message_of_one_document_leaves_the_others(
    memory: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision that cannot be delivered fails the document it is about; the task's others go on waiting."""
    corpus = write_corpus(tmp_path, {"a.txt": INVOICE, "b.txt": INVOICE})
    review = memory.submit(corpus, ASKING, entity="pair")
    memory.engine.work()
    first, second = review.collected()
    _refuse_reviews(memory, monkeypatch)
    memory.decide(first.approval, "approved")
    memory.engine.work()
    found = outcomes(review)
    assert (found[first.name].status, found[second.name].status) == ("failed", "waiting")


def test_a_message_is_not_buried_without_its_documents(
    memory: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its documents cannot be failed, the message stays, and a later engine delivers it."""

    def busy(*_: object) -> None:
        raise Transient("the database is busy")

    corpus = write_corpus(tmp_path, {"a.txt": MIT})
    with monkeypatch.context() as broken:
        _refuse_pipelines(memory, broken)
        broken.setattr(local.engine, "fail_documents", busy)
        assert memory.review(corpus, PLAIN)["a.txt"].status == "queued"
        assert memory.dead_letters() == []
    memory.engine.work(patience=10_000)
    assert memory.review(corpus, PLAIN)["a.txt"].status == "done"
    assert problems(memory.engine.database, [tmp_path / "a.txt"]) == []


# --- what was refused --------------------------------------------------------------------------------------------


def test_again_submits_what_was_refused(tmp_path: Path) -> None:
    """What a used-up budget refused stays refused, and is submitted anew when it is tried again."""
    home, corpus = tmp_path / "home", write_corpus(tmp_path / "corpus", {"a.txt": MIT})
    write_corpus(home, {"policy.toml": "[tenants.local]\ndaily_budget = 100\n"})
    with fabric(home) as poor:
        refused = _run(poor, [corpus])["a.txt"]
        assert (refused.status, _run(poor, [corpus])["a.txt"].reason) == ("failed", refused.reason)
        assert refused.reason.startswith("refused: ")
        assert _run(poor, [corpus], again=True)["a.txt"].reason == refused.reason
        assert _tasks(poor) == 2
    (home / "policy.toml").unlink()
    with fabric(home) as rich:
        assert _run(rich, [corpus])["a.txt"].status == "failed"
        assert _run(rich, [corpus], again=True)["a.txt"].status == "done"
        assert _run(rich, [corpus])["a.txt"].status == "done"
        assert _tasks(rich) == 3
