from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.sqlite.database import Database
from local.sqlite.settings import SqliteSettings
from shared.app import operating, switches
from shared.app import policy as policies
from shared.app.operating import CHANGED
from shared.app.trail import NAME, Doing, check, deeds, note
from shared.core.policy_text import parse
from shared.core.trail import sha256
from shared.errors import Conflict, Permanent, Transient
from shared.ports import Setting

if TYPE_CHECKING:
    from pathlib import Path

    from shared.core.policy import Policy
    from shared.ports import Settings
    from tests.app.world import World

POLICY = "[tenants.acme]\nmax_runs = 3\n"


@pytest.fixture
def settings(world: World) -> Settings:
    """The settings as they are, with three deeds noted."""
    operating.put_policy(operating.as_is(world.ports), POLICY, 0, by="ann")
    operating.stop(operating.as_is(world.ports), "all", "", by="bob", reason="a leak")
    switches.start(operating.as_is(world.ports), "all", "", by="eve")
    return SqliteSettings(world.database)


def row(number: int) -> str:
    """Return the name under which a deed is kept."""
    return f"{NAME}-{number:08d}"


def tamper(world: World, query: str, *words: object) -> None:
    """Change what is kept, past everything that guards it."""
    with world.database.transaction() as connection:
        assert connection.execute(query, words).rowcount == 1


def test_who_did_what_is_noted(world: World, settings: Settings) -> None:
    """A policy, a stop and a start each leave who, when, why, what was written, and the policy's version."""
    found = deeds(settings)
    assert [(deed.act, deed.of, deed.by, deed.reason, deed.revision) for deed in found] == [
        ("policy", "policy", "ann", "", 1),
        ("stop", "everything", "bob", "a leak", 1),
        ("start", "everything", "eve", "started again", 2),
    ]
    assert [deed.digest for deed in found[::2]] == [sha256(POLICY), sha256(settings.read(switches.NAME).text)]
    assert {deed.policy for deed in found} == {parse(POLICY).version}
    assert {deed.at for deed in found} == {world.ports.now()}
    assert check(settings, *CHANGED).intact


def test_a_trail_of_nothing_holds(world: World) -> None:
    """Where nobody did anything, nothing is wrong."""
    assert check(SqliteSettings(world.database), *CHANGED).intact


def test_each_change_of_a_deed_is_seen(world: World, settings: Settings) -> None:
    """Whichever deed is changed, be it the last, the check names it or the one behind it."""
    for number in (1, 2, 3):
        kept = settings.read(row(number)).text
        changed = kept.replace('"by":"', '"by":"not-')
        tamper(world, "UPDATE operator_settings SET text = ? WHERE name = ?", changed, row(number))
        assert check(settings, *CHANGED).broken in {number, number + 1}
        tamper(world, "UPDATE operator_settings SET text = ? WHERE name = ?", kept, row(number))
    assert check(settings, *CHANGED).intact


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_deed_that_was_taken_out_is_missed(world: World, settings: Settings, number: int) -> None:
    """A deed that is no longer there is missed, at the end of the trail as well."""
    tamper(world, "DELETE FROM operator_settings WHERE name = ?", row(number))
    assert check(settings, *CHANGED).broken == number


def test_nothing_is_written_over(settings: Settings) -> None:
    """A deed that was noted cannot be written again through the port."""
    with pytest.raises(Conflict):
        settings.write(Setting(row(2), "{}", 1))
    settings.write(Setting(row(2), settings.read(row(2)).text, 2))
    assert check(settings, *CHANGED).broken == 2


def test_what_nobody_noted_is_named(world: World, settings: Settings) -> None:
    """A policy, or switches, that were written past the trail are named, and so is an old one that was put back."""
    policies.change(settings, "[tenants.mallory]\n")
    assert check(settings, *CHANGED).unnoted == (policies.NAME,)
    policies.change(settings, POLICY)
    assert check(settings, *CHANGED).unnoted == (policies.NAME,)
    operating.put_policy(operating.as_is(world.ports), POLICY, 3, by="ann")
    assert check(settings, *CHANGED).intact


class Unwritable(SqliteSettings):
    """Settings whose trail cannot be written."""

    def write(self, setting: Setting) -> None:
        """Refuse what belongs to the trail."""
        if setting.name.startswith(NAME):
            raise Transient("the store is down")
        super().write(setting)


def test_what_cannot_be_noted_is_not_done(world: World) -> None:
    """While the trail cannot be written no policy is put in force and nothing is stopped or started."""
    kept = Unwritable(world.database)
    mine = replace(world.ports, settings=kept)
    with pytest.raises(Transient):
        operating.put_policy(mine, POLICY, 0, by="ann")
    with pytest.raises(Transient):
        operating.stop(mine, "all", "", by="ann", reason="a leak")
    assert [kept.read(name).version for name in CHANGED] == [0, 0]


def test_what_is_out_of_order_is_not_noted(world: World) -> None:
    """A broken policy, and one made from an older, change nothing and leave no deed."""
    mine = operating.as_is(world.ports)
    for text, revision in (("[tenants.A]", 0), (POLICY, 7)):
        with pytest.raises(Permanent):
            operating.put_policy(mine, text, revision, by="ann")
    assert deeds(mine.settings) == ()


def test_a_process_that_ended_before_it_moved_the_head(world: World, settings: Settings) -> None:
    """The head of the trail may be behind: the next deed finds the end, and the head catches up."""
    tamper(world, "UPDATE operator_settings SET version = 2, text = ? WHERE name = ?", deeds(settings)[1].hash, NAME)
    assert check(settings, *CHANGED).intact
    note(settings, Doing("stop", "everything", "ann", "x", 3, "v", "why"), world.ports.now())
    assert (settings.read(NAME).version, [deed.number for deed in deeds(settings)]) == (4, [1, 2, 3, 4])
    assert check(settings).intact


def test_many_at_once_make_one_chain(world: World, tmp_path: Path) -> None:
    """Deeds noted by many at a time stand one behind the other, none of them lost."""
    database = Database(tmp_path / "fabric.db")
    kept = SqliteSettings(database)

    def one(number: int) -> None:
        mine = Database(tmp_path / "fabric.db")
        note(SqliteSettings(mine), Doing("stop", "everything", f"p{number}", "x", 1, "v"), world.ports.now())
        mine.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    assert {deed.by for deed in deeds(kept)} == {f"p{number}" for number in range(40)}
    assert (check(kept).deeds, check(kept).broken) == (40, None)
    database.close()


def test_stopping_does_not_wait_for_a_policy(world: World) -> None:
    """Work can be stopped while nobody can read the policy, and the deed says no version."""

    def unreadable() -> Policy:
        raise Transient("no policy")

    operating.stop(replace(world.ports, policy=unreadable), "all", "", by="ann", reason="a leak")
    assert [deed.policy for deed in deeds(SqliteSettings(world.database))] == [""]
