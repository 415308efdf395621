from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from local.clock import VirtualClock
from local.policies import FILE, packaged, policy_of, put
from local.sqlite.database import Database
from local.sqlite.settings import SqliteSettings
from shared.app import policy as policies
from shared.app.policy import Policies, change, in_its_version, stored
from shared.app.recent import Recent
from shared.core.policy import Policy, TenantPolicy
from shared.core.policy_text import parse
from shared.errors import Conflict, NotFound, Permanent, Transient
from shared.ports import Setting

if TYPE_CHECKING:
    from pathlib import Path

SEED = Policy(version="seed", tenants={"seeded": TenantPolicy()})
ONE = "[tenants.acme]\ndaily_budget = 1\n[tenants.zeta]"
TWO = "[tenants.acme]\ndaily_budget = 2\n[tenants.zeta]"
MODELS = (
    ONE
    + """
[candidates.m]
provider = "openai"
model = "m"
tokens_in = {price}
tokens_out = 2
"""
)
BROKEN = '[tenants.acme]\ndaily_budget = ""\n[tenants.zeta]\ndaily_budget = 3'


@dataclass
class Place:
    """Settings in memory that can be cut off, a clock, and what was told."""

    database: Database = field(default_factory=lambda: Database(None))
    clock: VirtualClock = field(default_factory=VirtualClock)
    told: list[str] = field(default_factory=list)
    reads: int = 0
    down: bool = False

    def __post_init__(self) -> None:
        self.settings = SqliteSettings(self.database)

    def read(self, name: str) -> Setting:
        """Read a setting, or fail as a store does that is down."""
        self.reads += 1
        if self.down:
            raise Transient("the table cannot be reached")
        return self.settings.read(name)

    def write(self, setting: Setting) -> None:
        """Write a setting."""
        self.settings.write(setting)

    def say(self, text: str) -> None:
        """Write a text past all checks, as somebody with access to the table can."""
        self.settings.write(Setting("policy", text, self.settings.read("policy").version + 1))

    def process(self) -> Policies:
        """Return the policy as a process sees it that starts now."""
        return stored(self, lambda: SEED, self.clock.now, self.told.append)


@pytest.fixture
def place() -> Iterator[Place]:
    """Settings of its own."""
    made = Place()
    yield made
    made.database.close()


def daily(policy: Policies, tenant: str = "acme") -> int:
    """Return a tenant's daily budget as it is in force."""
    return policy().tenants[tenant].daily_budget


def test_until_a_policy_is_written_the_seed_is_in_force(place: Place) -> None:
    """The environment's tenants hold until operators write a policy, and from then on no more."""
    policy = place.process()
    assert policy() is SEED
    change(place.settings, ONE)
    place.clock.wait(0.5)
    assert set(policy().tenants) == {"acme", "zeta"}
    assert place.told == []


def test_a_change_is_in_force_within_half_a_second(place: Place) -> None:
    """The text is read again twice a second at most, by the time given, however often the policy is asked for."""
    change(place.settings, ONE)
    policy = place.process()
    assert daily(policy) == 1
    change(place.settings, TWO)
    reads = place.reads
    place.clock.wait(0.499)
    assert [daily(policy) for _ in range(100)] == [1] * 100
    assert place.reads == reads
    place.clock.wait(0.001)
    assert daily(policy) == 2
    assert place.reads == reads + 1


@pytest.mark.parametrize("broken", ["", "  ", "[tenants", "[tenants.acme]\nworkflows = 5"])
def test_a_broken_policy_is_not_put_in_force(place: Place, broken: str) -> None:
    """Changing the policy to something broken is refused, and what was there stays as it was."""
    change(place.settings, ONE)
    with pytest.raises(Permanent):
        change(place.settings, broken)
    assert place.settings.read("policy") == Setting("policy", ONE, 1)


def test_two_operators_at_once_are_told(place: Place) -> None:
    """Whoever changes what somebody else has just changed is told so."""
    change(place.settings, ONE)
    with pytest.raises(Conflict):
        place.settings.write(Setting("policy", TWO, 1))


@pytest.mark.parametrize("broken", ["", "  ", "[tenants", "nonsense = 1"])
def test_the_last_good_policy_stays(place: Place, broken: str) -> None:
    """A broken text changes nothing, is told once, and the next good one is in force again."""
    change(place.settings, ONE)
    policy = place.process()
    before = policy()
    place.say(broken)
    for _ in range(5):
        place.clock.wait(1)
        assert policy() is before
    assert len(place.told) == 1
    change(place.settings, TWO)
    place.clock.wait(1)
    assert daily(policy) == 2
    place.say(broken)
    place.clock.wait(1)
    assert daily(policy) == 2
    assert len(place.told) == 2


def test_one_tenants_broken_entry_is_its_own(place: Place) -> None:
    """A blank quota leaves its tenant as it was, while the others' changes are in force."""
    change(place.settings, ONE)
    policy = place.process()
    assert daily(policy) == 1
    place.say(BROKEN)
    place.clock.wait(1)
    assert (daily(policy), daily(policy, "zeta")) == (1, 3)
    assert "tenants.acme.daily_budget" in place.told[0]
    assert f"version {policy().version} holds" in place.told[0]


def test_a_process_that_starts_under_a_broken_policy_finds_the_last_good_one(place: Place) -> None:
    """What is kept outlives the processes: a fresh one is under the same policy as its elders."""
    change(place.settings, ONE)
    place.say(BROKEN)
    fresh = place.process()
    assert (daily(fresh), daily(fresh, "zeta")) == (1, 3)
    place.say("[tenants")
    assert daily(place.process()) == 1
    assert len(place.told) == 2


def test_under_a_broken_first_policy_the_seed_stays(place: Place) -> None:
    """Where there never was a good policy, the environment's holds on."""
    place.say("[tenants")
    assert place.process()() is SEED
    assert len(place.told) == 1


def test_without_any_good_policy_nothing_is_admitted(place: Place) -> None:
    """When the note of the last good policy is broken as well, nobody guesses: it is a passing failure."""
    place.say("[tenants")
    place.settings.write(Setting("policy.good", "[tenants", 1))
    with pytest.raises(Transient, match="neither"):
        place.process()()


def test_a_store_that_is_down_keeps_the_policy(place: Place) -> None:
    """The policy in force stays while it cannot be read, which is told once; a process without one cannot begin."""
    change(place.settings, ONE)
    policy = place.process()
    assert daily(policy) == 1
    place.down = True
    for _ in range(5):
        place.clock.wait(1)
        assert daily(policy) == 1
    assert len(place.told) == 1
    with pytest.raises(Transient):
        place.process()()
    place.down = False
    change(place.settings, TWO)
    place.clock.wait(1)
    assert daily(policy) == 2


def test_settings_are_read_twice_a_second_at_most(place: Place) -> None:
    """What is asked for at each call is read from the store now and then, and at once after it was written here."""
    recent = Recent(place, place.clock.now)
    for _ in range(10):
        assert recent.read("x") == Setting("x")
    assert place.reads == 1
    recent.write(Setting("x", "1", 1))
    assert recent.read("x").text == "1"
    place.settings.write(Setting("x", "2", 2))
    assert recent.read("x").text == "1"
    place.clock.wait(0.5)
    assert recent.read("x").text == "2"


def test_each_policy_stays_readable_by_its_versions(place: Place) -> None:
    """What was in force is read by its own or its prices' version ever after; what never was is not found."""
    seed = parse(MODELS.format(price=1))
    change(place.settings, ONE, now=seed)
    change(place.settings, TWO, now=parse(ONE))
    change(place.settings, MODELS.format(price=2), now=parse(TWO))
    for text in (MODELS.format(price=1), ONE, TWO, MODELS.format(price=2)):
        assert in_its_version(place.settings, parse(text).version, SEED) == text
    assert in_its_version(place.settings, parse(TWO).price_version, SEED) == ONE
    assert in_its_version(place.settings, seed.price_version, SEED) == seed.text
    for unknown in ("0" * 12, "good", "../x", ""):
        with pytest.raises(NotFound):
            in_its_version(place.settings, unknown, SEED)


def test_a_policy_is_filed_once(place: Place) -> None:
    """Going back and forth between policies writes no more of them; going back is a change like any other."""
    for text in (ONE, TWO, ONE, TWO):
        change(place.settings, text)
    assert [place.settings.read(f"policy.{parse(text).version}").version for text in (ONE, TWO)] == [1, 1]
    assert place.settings.read("policy") == Setting("policy", TWO, 4)


class TestOnALaptop:
    """The policy in a file."""

    @pytest.fixture
    def policy(self, place: Place, tmp_path: Path) -> Policies:
        """The policy of a state folder."""
        return policy_of(tmp_path, place, place.clock.now, place.told.append)

    def test_the_packaged_policy_is_the_default(self, policy: Policies) -> None:
        """Without a file what comes with the fabric is in force."""
        assert set(policy().tenants) == {"local"}

    def test_an_edited_file_is_in_force(self, place: Place, policy: Policies, tmp_path: Path) -> None:
        """The file is read again when somebody edited it, and its absence is the packaged policy again."""
        put(tmp_path, ONE, place)
        assert daily(policy) == 1
        (tmp_path / FILE).write_text(TWO, encoding="utf-8")
        place.clock.wait(0.5)
        assert daily(policy) == 2
        (tmp_path / FILE).unlink()
        place.clock.wait(0.5)
        assert set(policy().tenants) == {"local"}

    def test_what_was_in_force_stays_readable(self, place: Place, policy: Policies, tmp_path: Path) -> None:
        """The packaged policy and each file that a process went by are found by their versions."""
        versions = [policy().version]
        for text in (ONE, TWO):
            (tmp_path / FILE).write_text(text, encoding="utf-8")
            place.clock.wait(0.5)
            versions.append(policy().version)
        assert [in_its_version(place.settings, one, SEED) for one in versions] == [packaged(), ONE, TWO]

    def test_a_file_that_is_no_text_changes_nothing(self, place: Place, policy: Policies, tmp_path: Path) -> None:
        """Bytes that are no UTF-8 are a broken policy like any other."""
        put(tmp_path, ONE, place)
        assert daily(policy) == 1
        (tmp_path / FILE).write_bytes(ONE.encode() + b"\xff")
        place.clock.wait(0.5)
        assert daily(policy) == 1
        assert len(place.told) == 1

    def test_the_next_process_finds_the_last_good_file(self, place: Place, policy: Policies, tmp_path: Path) -> None:
        """A broken file does not bring a tenant's old limits back, nor none at all, in a process that starts later."""
        put(tmp_path, ONE, place)
        assert daily(policy) == 1
        (tmp_path / FILE).write_text("[tenants", encoding="utf-8")
        assert daily(policy_of(tmp_path, place, place.clock.now, place.told.append)) == 1

    def test_a_broken_policy_is_not_put(self, place: Place, tmp_path: Path) -> None:
        """Nothing is written unless all of it is in order."""
        put(tmp_path, packaged(), place)
        with pytest.raises(Permanent):
            put(tmp_path, BROKEN, place)
        assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == [FILE]
        assert (tmp_path / FILE).read_text(encoding="utf-8") == packaged()

    def test_a_note_that_cannot_be_made_is_told(self, place: Place, tmp_path: Path) -> None:
        """A good file is in force also while its note cannot be written, and that is not kept quiet."""
        put(tmp_path, ONE, place)
        place.down = True
        policy = policy_of(tmp_path, place, place.clock.now, place.told.append)
        assert daily(policy) == 1
        assert "cannot be noted" in place.told[0]
        assert policies.EVERY.total_seconds() == 0.5
