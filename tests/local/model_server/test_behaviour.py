from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.model_server.behaviour import Decision, State, decide
from local.model_server.scenario import Deployment, Latency, Phase, Quota

HASTY = Deployment(quota=Quota(requests_per_minute=60, burst=1))


def fates(deployment: Deployment, times: list[float], tokens: int = 1, seed: str = "") -> list[Decision]:
    """Return what becomes of requests at these times."""
    state, found = State(), []
    for now in times:
        decision = decide(deployment, state, tokens, now, seed)
        state = decision.state
        found.append(decision)
    return found


def kinds(deployment: Deployment, times: list[float]) -> list[str]:
    """Return the kinds of the fates."""
    return [one.kind for one in fates(deployment, times)]


def test_without_a_word_everything_goes_well_at_once() -> None:
    """A deployment of which nothing is said answers every request at once and has no quota to tell of."""
    for one in fates(Deployment(), [0.0] * 50):
        assert (one.kind, one.first_byte, one.requests, one.tokens) == ("ok", 0.0, None, None)


def test_a_quota_refuses_and_says_when() -> None:
    """A request too many is refused with the seconds until the next one is let in."""
    first, second, third = fates(HASTY, [0.0, 0.25, 1.0])
    assert (first.kind, second.kind, second.retry_after, third.kind) == ("ok", "429", 0.75, "ok")


def test_what_is_left_of_a_quota_is_told() -> None:
    """The meters tell what is left behind each request and when all of it is back."""
    deployment = Deployment(quota=Quota(requests_per_minute=10, tokens_per_minute=1000))
    one, two = fates(deployment, [0.0, 0.0], tokens=400)
    assert one.requests is not None
    assert two.requests is not None
    assert two.tokens is not None
    assert (one.requests.remaining, two.requests.remaining, two.tokens.remaining) == (9, 8, 200)
    assert two.tokens.reset == pytest.approx(48.0)


def test_tokens_are_rationed_as_well() -> None:
    """A request is refused for its tokens, though there are requests left."""
    deployment = Deployment(quota=Quota(requests_per_minute=100, tokens_per_minute=600))
    one, two = fates(deployment, [0.0, 0.0], tokens=400)
    assert (one.kind, two.kind) == ("ok", "429")
    assert two.retry_after == pytest.approx(20.0)


def test_what_never_fits_is_not_told_to_wait() -> None:
    """A request of more tokens than the quota ever holds is refused without a time to come back."""
    one = fates(Deployment(quota=Quota(tokens_per_minute=600)), [0.0], tokens=601)[0]
    assert (one.kind, one.retry_after) == ("429", None)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200), st.integers(1, 50))
def test_no_crowd_gets_more_than_the_quota(gaps: list[float], tokens: int) -> None:
    """However requests come, no more are let in than the bucket held and what flowed in since."""
    deployment = Deployment(quota=Quota(requests_per_minute=120, tokens_per_minute=3000, burst=2))
    times = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    let_in = sum(one.kind == "ok" for one in fates(deployment, times, tokens))
    elapsed = times[-1] - times[0]
    assert let_in <= 4 + 2 * elapsed + 1e-3
    assert let_in * tokens <= 100 + 50 * elapsed + 1e-3


@given(st.lists(st.floats(0, 0.4), max_size=60), st.integers(1, 40))
def test_who_waits_as_told_is_let_in(gaps: list[float], tokens: int) -> None:
    """A refused request that comes back exactly when it was told to is let in; a moment earlier it is not."""
    deployment = Deployment(quota=Quota(requests_per_minute=90, tokens_per_minute=2400, burst=1))
    times = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    for now, one in zip(times, fates(deployment, times, tokens), strict=True):
        if one.kind == "429":
            assert one.retry_after is not None
            assert decide(deployment, one.state, tokens, now + one.retry_after).kind == "ok"
            assert decide(deployment, one.state, tokens, now + one.retry_after * 0.99 - 1e-3).kind == "429"


def test_a_phase_has_a_beginning_and_an_end() -> None:
    """A phase is on from its start up to, and without, its end."""
    deployment = Deployment(phases=(Phase(kind="503", start=10, end=20),))
    assert kinds(deployment, [0, 9.9, 10, 19.9, 20]) == ["ok", "ok", "503", "503", "ok"]


def test_an_outage_has_its_course() -> None:
    """Phases follow each other: throttled, down, recovered."""
    phases = (Phase(kind="429", end=60), Phase(kind="503", start=60, end=120))
    assert kinds(Deployment(phases=phases), [0, 59, 60, 119, 120]) == ["429", "429", "503", "503", "ok"]


def test_of_two_phases_the_first_decides() -> None:
    """Where phases overlap, the first that hits the request decides."""
    phases = (Phase(kind="ok", start=5, end=6), Phase(kind="500"))
    assert kinds(Deployment(phases=phases), [4, 5, 6]) == ["500", "ok", "500"]


def test_every_third_request_is_hit() -> None:
    """`every` hits each n-th request of the deployment."""
    assert kinds(Deployment(phases=(Phase(kind="empty", every=3),)), [0.0] * 6) == ["ok", "ok", "empty"] * 2


def test_a_share_is_hit_the_same_each_time() -> None:
    """`rate` hits about that share of the requests, the same ones for the same seed."""
    deployment = Deployment(phases=(Phase(kind="500", rate=0.3),))
    once, again, other = (fates(deployment, [0.0] * 1000, seed=seed) for seed in ("a", "a", "b"))
    assert once == again
    assert once != other
    assert 250 < sum(one.kind == "500" for one in once) < 350


def test_a_throttled_phase_says_when_it_ends() -> None:
    """While everybody is throttled, Retry-After is the time until that ends."""
    assert fates(Deployment(phases=(Phase(kind="429", end=30),)), [12.0])[0].retry_after == 18.0


@pytest.mark.parametrize("phase", [Phase(kind="429"), Phase(kind="429", end=30, rate=0.999)])
def test_a_throttled_phase_without_a_certain_end_says_soon(phase: Phase) -> None:
    """Where nobody can know how long it lasts, Retry-After is a second."""
    assert fates(Deployment(phases=(phase,)), [12.0])[0].retry_after == 1.0


def test_a_phase_may_say_when_itself() -> None:
    """A phase's own Retry-After is told for 429 and 503; a 503 without one says nothing."""
    told = Deployment(phases=(Phase(kind="503", retry_after=7),))
    assert fates(told, [0.0])[0].retry_after == 7
    assert fates(Deployment(phases=(Phase(kind="503"),)), [0.0])[0].retry_after is None


def test_a_deployment_may_keep_silent_about_when() -> None:
    """With `tells_limits` false nothing says when to come back or what is left, whoever refuses."""
    silent = HASTY.model_copy(update={"tells_limits": False})
    assert kinds(silent, [0.0, 0.0]) == ["ok", "429"]
    assert [(one.retry_after, one.requests) for one in fates(silent, [0.0, 0.0])] == [(None, None)] * 2
    assert fates(Deployment(phases=(Phase(kind="429", end=9),), tells_limits=False), [0.0])[0].retry_after is None


def test_refusals_leave_the_quota_alone() -> None:
    """What is refused, by a phase or by the quota, takes nothing out of the quota."""
    deployment = Deployment(quota=Quota(requests_per_minute=60, burst=1), phases=(Phase(kind="500", end=0.5),))
    assert kinds(deployment, [0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 1.5]) == ["500", "500", "500", "ok", "429", "429", "ok"]


def test_latency_follows_its_percentiles() -> None:
    """Between percentiles latency is a straight line, beyond them it stays."""
    latency = Latency(percentiles=((50, 1.0), (90, 3.0), (100, 10.0)))
    assert [latency.at(luck) for luck in (0.0, 0.5, 0.7, 0.9, 0.95)] == pytest.approx([1.0, 1.0, 2.0, 3.0, 6.5])
    assert Latency(percentiles=((50, 1.0),)).at(0.99) == 1.0


def test_latency_is_drawn_per_request() -> None:
    """Half of the requests are faster than the median."""
    deployment = Deployment(latency=Latency(percentiles=((0, 0.0), (50, 1.0), (100, 9.0))))
    fast = sum(one.first_byte < 1.0 for one in fates(deployment, [0.0] * 1000))
    assert 450 < fast < 550


def test_a_phase_may_be_just_slow() -> None:
    """A phase's latency replaces the deployment's; refusals are fast unless it says otherwise."""
    slow = Latency(fixed=8.0)
    phases = (Phase(kind="ok", end=1, latency=slow), Phase(kind="503", end=2), Phase(kind="503", end=3, latency=slow))
    deployment = Deployment(latency=Latency(fixed=0.5), phases=phases)
    assert [one.first_byte for one in fates(deployment, [0, 1, 2, 3])] == [8.0, 0.0, 8.0, 0.5]
