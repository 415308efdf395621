"""Threads for calls that race each other. Nothing else in shared/ starts a thread; a test brings its own crew."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

T = TypeVar("T")


class Crew(Protocol):
    """Does things at the same time."""

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Start some work."""
        ...

    def first(self, running: Collection[Future[T]], seconds: float | None) -> set[Future[T]]:
        """Return those that have ended, as soon as one has; none when the time is over first."""
        ...


class Threads:
    """A crew of threads, started when they are needed."""

    def __init__(self, most: int = 16) -> None:
        self._pool = ThreadPoolExecutor(most, "hedge")

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Start some work."""
        return self._pool.submit(work)

    def first(self, running: Collection[Future[T]], seconds: float | None) -> set[Future[T]]:
        """Return those that have ended, as soon as one has; none when the time is over first."""
        return wait(running, seconds, FIRST_COMPLETED).done

    def close(self) -> None:
        """Wait for what still runs."""
        self._pool.shutdown()
