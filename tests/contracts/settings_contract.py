"""What every store of settings must do; each adapter's test inherits `SettingsContract`.

One that only reads what is written elsewhere inherits `SettingsRead`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import pytest

from shared.errors import Conflict, Transient
from shared.ports import Setting

if TYPE_CHECKING:
    from shared.ports import Settings


class Read(Protocol):
    """Settings that are read through the port under test."""

    def settings(self) -> Settings:
        """Return the port, as one replica has it."""
        ...


class Store(Read, Protocol):
    """A store of settings under test."""

    def busy(self) -> AbstractContextManager[None]:
        """Make every write inside be refused for a passing reason."""
        ...


class SettingsRead:
    """The rules of reading. A subclass provides the fixture `store`, empty."""

    @pytest.fixture
    def writer(self, store: Read) -> Settings:
        """Return the port through which operators write: the one under test, unless a subclass names another."""
        return store.settings()

    def test_what_nobody_wrote_is_empty(self, store: Read) -> None:
        """A setting that was never written is empty, at version 0."""
        assert store.settings().read("policy") == Setting("policy", "", 0)

    def test_what_was_written_is_read(self, store: Read, writer: Settings) -> None:
        """Each write is one version on, and the latest is there for every replica."""
        writer.write(Setting("policy", "one\n", 1))
        writer.write(Setting("policy", "zwei ☂", 2))
        assert store.settings().read("policy") == Setting("policy", "zwei ☂", 2)

    def test_a_blank_text_was_written(self, store: Read, writer: Settings) -> None:
        """An empty text is told from a setting that nobody wrote by its version."""
        writer.write(Setting("policy", "", 1))
        assert store.settings().read("policy") == Setting("policy", "", 1)

    def test_names_are_apart(self, store: Read, writer: Settings) -> None:
        """One setting's writes do not touch another's."""
        writer.write(Setting("policy", "p", 1))
        writer.write(Setting("policy.good", "g", 1))
        writer.write(Setting("switches", "s", 1))
        assert [store.settings().read(name).text for name in ("policy", "policy.good", "switches")] == ["p", "g", "s"]

    def test_a_large_text_is_kept(self, store: Read, writer: Settings) -> None:
        """A policy of thousands of tenants fits."""
        text = "\n".join(f"[tenants.t{number}]\ndaily_budget = 5" for number in range(7000))
        writer.write(Setting("policy", text, 1))
        assert store.settings().read("policy").text == text


class SettingsContract(SettingsRead):
    """The rules of reading and of writing. A subclass provides the fixture `store`, empty."""

    @pytest.mark.parametrize("version", [1, 2, 4, 9])
    def test_a_lost_race_changes_nothing(self, store: Store, version: int) -> None:
        """Whoever does not bring the stored version plus one is told that somebody else was there."""
        store.settings().write(Setting("policy", "one", 1))
        store.settings().write(Setting("policy", "two", 2))
        with pytest.raises(Conflict):
            store.settings().write(Setting("policy", "mine", version))
        assert store.settings().read("policy") == Setting("policy", "two", 2)

    def test_the_first_write_is_the_first(self, store: Store) -> None:
        """A version that skips the first write is refused."""
        with pytest.raises(Conflict):
            store.settings().write(Setting("policy", "mine", 2))
        assert store.settings().read("policy").version == 0

    def test_of_many_at_once_one_writes(self, store: Store) -> None:
        """Of replicas that write the same version at the same time one succeeds, and its text is there."""
        replicas = [store.settings() for _ in range(8)]

        def write(number: int) -> int | None:
            try:
                replicas[number].write(Setting("policy", str(number), 1))
            except (Conflict, Transient):
                return None
            return number

        with ThreadPoolExecutor(len(replicas)) as pool:
            won = [number for number in pool.map(write, range(len(replicas))) if number is not None]
        assert len(won) == 1
        assert store.settings().read("policy") == Setting("policy", str(won[0]), 1)

    def test_a_store_that_is_busy_says_so(self, store: Store) -> None:
        """A write that may not have happened is a passing failure, and no conflict."""
        settings = store.settings()
        settings.write(Setting("policy", "one", 1))
        with store.busy(), pytest.raises(Transient) as refused:
            settings.write(Setting("policy", "two", 2))
        assert not isinstance(refused.value, Conflict)
        settings.write(Setting("policy", "two", 2))
