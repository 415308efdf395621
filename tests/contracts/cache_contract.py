"""What every cache of answers must do; each cache's test inherits `CacheContract`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from shared.errors import Transient
from shared.ports import Cache

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SOON = NOW + timedelta(hours=1)
KEY = "0" * 64


class CacheStore(Protocol):
    @property
    def cache(self) -> Cache:
        """The cache."""
        ...

    def busy(self) -> AbstractContextManager[None]:
        """Make the store refuse what is written inside."""
        ...


class CacheContract:
    def test_what_was_kept_is_found(self, caching: CacheStore) -> None:
        """A text is found under its tenant and key until it expires, and not at that moment."""
        assert caching.cache.get("acme", KEY, NOW) is None
        caching.cache.put("acme", KEY, '{"quotes": ["ü — 漢"]}', SOON)
        assert caching.cache.get("acme", KEY, NOW) == '{"quotes": ["ü — 漢"]}'
        assert caching.cache.get("acme", KEY, SOON - timedelta(seconds=1)) is not None
        assert caching.cache.get("acme", KEY, SOON) is None

    def test_nobody_finds_what_another_tenant_kept(self, caching: CacheStore) -> None:
        """The same question of another tenant, and another question of the same, are not answered."""
        caching.cache.put("acme", KEY, "ours", SOON)
        assert caching.cache.get("globex", KEY, NOW) is None
        assert caching.cache.get("acm", KEY, NOW) is None
        assert caching.cache.get("acme", "1" * 64, NOW) is None

    def test_the_latest_text_stands(self, caching: CacheStore) -> None:
        """Keeping again replaces the text and its end, an expired one included."""
        caching.cache.put("acme", KEY, "first", NOW)
        caching.cache.put("acme", KEY, "second", SOON)
        assert caching.cache.get("acme", KEY, NOW) == "second"

    def test_a_large_text_is_kept_or_not_kept(self, caching: CacheStore) -> None:
        """A text that is too large for the store is no error, only never found."""
        text = "x" * 2_000_000
        caching.cache.put("acme", KEY, text, SOON)
        assert caching.cache.get("acme", KEY, NOW) in {None, text}

    def test_a_store_that_is_down_says_so(self, caching: CacheStore) -> None:
        """Whoever keeps an answer in a store that is busy is told to try again, and nothing is kept."""
        with caching.busy(), pytest.raises(Transient):
            caching.cache.put("acme", KEY, "lost", SOON)
        assert caching.cache.get("acme", KEY, NOW) is None
