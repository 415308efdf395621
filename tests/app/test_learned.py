"""What a process learns, with many threads at it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from shared.app.learned import Learned
from shared.core.completion import Quota
from shared.core.health import Breaker, Outcome, against
from shared.core.routing import Candidate, Route, routes

ONE = routes([Candidate(name="one", provider="openai", model="m", tokens_in=1, tokens_out=1)])[0]


def test_no_outcome_is_lost_between_threads() -> None:
    """Eight threads report four thousand answers, and four thousand are counted."""
    learned = Learned()

    def work(_: int) -> None:
        for _ in range(500):
            learned.enter(ONE, 0.0, 0)
            learned.leave(ONE, Outcome("answered", ms=10.0), 0.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert learned.health["one"].answered == 4_000


def test_of_many_that_come_to_a_gate_that_opens_one_goes_through() -> None:
    """A hundred threads that waited for the same second do not go together."""
    learned = Learned()
    learned.leave(ONE, Outcome("throttled", retry_after=60.0), 0.0)
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda _: learned.enter(ONE, 60.0, 0), range(100)))
    assert waits.count(0) == 1


def test_a_limit_that_a_provider_names_bounds_its_gate() -> None:
    """The requests a minute that come with an answer are what the gate opens up to."""
    learned = Learned()
    learned.leave(ONE, Outcome("answered", quota=Quota(requests_left=5, requests_limit=120)), 0.0)
    assert learned.gate("one").limit == 2.0


def test_a_policy_that_changes_for_ever_is_forgotten() -> None:
    """Names that were in old policies do not fill the memory."""
    learned = Learned()
    for number in range(3_000):
        learned.enter(ONE._replace(name=f"one-{number}"), 0.0, 0)
    assert len(learned.health) <= 1_024
    assert "one-2999" in learned.health


def test_the_known_limit_of_a_candidate_is_its_gates() -> None:
    """What the policy says about requests a minute bounds the gate before any answer came."""
    route: Route = ONE._replace(per_second=3.0)
    learned = Learned()
    learned.leave(route, Outcome("throttled", retry_after=60.0), 0.0)
    assert learned.gate("one").limit == 3.0


def test_operators_say_when_a_deployment_is_left_alone() -> None:
    """The breaker goes by the policy in force at each call, not by the one that the process began with."""
    known = [Breaker(failures=1, first_pause=9.0)]
    learned = Learned(breaker=lambda: known[-1])
    learned.leave(ONE, Outcome("failed"), 0.0)
    assert against(learned.health["one"], 0, 0.0) == ("breaker open", 9.0)
    known.append(Breaker(failures=1, first_pause=2.0, probe_seconds=30.0))
    assert learned.enter(ONE, 9.0, 0) == 0
    assert against(learned.health["one"], 0, 9.0) == ("being probed", 30.0)
