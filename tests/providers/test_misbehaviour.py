"""Providers at their worst: each misbehaviour of the model server ends in a verdict, and never in half an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.model_server.clock import RealClock
from local.model_server.scenario import Deployment, Phase
from providers import http
from providers.deployments import Deployments
from providers.http import Request, Response
from shared.core.answers import complaint
from shared.core.completion import NoAnswer
from shared.core.phrasing import said
from shared.errors import Permanent, Throttled
from tests.providers.reaching import PROMPT, PROVIDERS, SCHEMA, SECRETS, here

if TYPE_CHECKING:
    from shared.core.routing import Candidate
    from tests.providers.conftest import Reach


class Cut:
    """A web that hands on the first bytes of each response, as if it were all."""

    def __init__(self, most: int) -> None:
        self._web = here()
        self.most = most
        self.whole: Response | None = None

    def post(self, request: Request, *, total: float, idle: float) -> Response:
        """Post once, then cut what came."""
        self.whole = self.whole or self._web.post(request, total=total, idle=idle)
        return self.whole._replace(body=self.whole.body[: self.most])


def ends(reach: Reach, candidate: Candidate) -> NoAnswer:
    """Ask, and return why there is no answer."""
    with pytest.raises(NoAnswer) as ended:
        reach.ask(candidate, PROMPT)
    return ended.value


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_truncated_response_is_an_answer(reach: Reach, provider: str) -> None:
    """A response cut at any byte is no answer, and may have to be paid."""
    web = Cut(10**9)
    candidate = reach.candidate(provider)
    models = Deployments(lambda: {"one": candidate}, SECRETS, web)
    assert models.complete(PROMPT).answer
    assert web.whole is not None
    answers = 0
    for most in range(len(web.whole.body)):
        web.most = most
        with pytest.raises(NoAnswer) as ended:
            answers += bool(models.complete(PROMPT))
        assert (ended.value.code, ended.value.served) == ("truncated-json", True)
    assert answers == 0


def test_no_truncated_answer_will_do(reach: Reach) -> None:
    """An answer cut at any character, in a response that is whole, has a fault."""
    text = reach.ask(reach.candidate("openai"), PROMPT).text
    for most in range(len(text)):
        answer, fault = said(text[:most])
        assert (answer, bool(fault)) == ({}, True)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("after", [0, 1, 40, 10_000])
def test_a_broken_connection_is_no_answer(reach: Reach, provider: str, after: int) -> None:
    """A connection that is cut before the promised length ends in a verdict, at whatever byte."""
    ended = ends(reach, reach.failing(provider, kind="broken-stream", after_bytes=after))
    assert (ended.code, ended.served) == ("broken-stream", True)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("kind", "code", "served"),
    [
        ("truncated-json", "truncated-json", True),
        ("wrong-content-type", "wrong-content-type", True),
        ("500", "provider-down", False),
        ("503", "provider-down", False),
    ],
)
def test_what_is_no_answer_says_so(reach: Reach, provider: str, kind: str, code: str, *, served: bool) -> None:
    """Half JSON, a sign-in page and a server's error each have their code, and say whether they may cost."""
    ended = ends(reach, reach.failing(provider, kind=kind))
    assert (ended.code, ended.served) == (code, served)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("kind", "code"), [("400", "provider-refused"), ("401", "provider-credentials"), ("ok", "unknown-deployment")]
)
def test_a_refusal_is_for_good(reach: Reach, provider: str, kind: str, code: str) -> None:
    """A request at fault, a key at fault and a name nobody knows are not tried again."""
    candidate = reach.failing(provider, kind=kind)
    if kind == "ok":
        reach.service.use(reach.service.scenario.model_copy(update={"deployments": {}}), 0.0)
    with pytest.raises(Permanent) as refused:
        reach.ask(candidate, PROMPT)
    assert refused.value.code == code


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("seconds", [0.0, 0.25, 7.0, 3600.0])
def test_throttling_says_when_to_come_back(reach: Reach, provider: str, seconds: float) -> None:
    """A 429 is Throttled, never earlier than the provider asks and less than a second later."""
    candidate = reach.failing(provider, kind="429", retry_after=seconds)
    with pytest.raises(Throttled) as refused:
        reach.ask(candidate, PROMPT)
    assert seconds <= refused.value.retry_after < seconds + 1


def test_throttling_without_a_word_waits_a_while() -> None:
    """A 429 that says nothing about when is not tried again at once, nor before the quota is back."""
    empty = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}
    for headers, least in (({}, 1.0), (empty, 9.0)):
        throttled = http.verdict(Response(429, headers, b""))
        assert isinstance(throttled, Throttled)
        assert throttled.retry_after >= least


def test_a_slow_drip_ends_with_the_time(reach: Reach) -> None:
    """An answer that keeps coming, but too slowly, ends when the call's whole time is over."""
    drip = Deployment(phases=(Phase(kind="slow-drip", bytes_per_second=50.0),))
    candidate = reach.at(RealClock(), "openai", drip, idle_timeout=5.0)
    with pytest.raises(NoAnswer) as ended:
        reach.ask(candidate, replace(PROMPT, timeout=0.4))
    assert ended.value.served
    assert ended.value.code in {"too-slow", "stalled"}


def test_a_drip_that_stops_ends_earlier(reach: Reach) -> None:
    """Between two pieces of an answer the idle deadline counts, not the whole call's."""
    drip = Deployment(phases=(Phase(kind="slow-drip", bytes_per_second=2.0),))
    candidate = reach.at(RealClock(), "openai", drip, idle_timeout=0.2, timeout=60.0)
    assert ends(reach, candidate).code == "stalled"


def test_silence_ends_with_the_time(reach: Reach) -> None:
    """A provider that never answers costs the worst case and no more time than there is."""
    candidate = reach.at(RealClock(), "openai", Deployment(phases=(Phase(kind="timeout"),)), timeout=0.2)
    ended = ends(reach, candidate)
    assert (ended.code, ended.served) == ("too-slow", True)


def test_nobody_there_costs_nothing(reach: Reach) -> None:
    """A connection that nobody accepts is known to have cost nothing."""
    candidate = reach.candidate("openai").model_copy(update={"url": "http://127.0.0.1:9/v1"})
    ended = ends(reach, candidate)
    assert (ended.code, ended.served) == ("unreachable", False)


@pytest.mark.parametrize("kind", ["malformed", "empty"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_bad_answer_is_paid_and_has_a_fault(reach: Reach, provider: str, kind: str) -> None:
    """An answer that is not what was asked for comes with its usage, and is seen through."""
    found = reach.ask(reach.failing(provider, kind=kind), PROMPT)
    assert found.usage.tokens_in > 0
    assert found.fault or complaint(found.answer, SCHEMA)


def test_an_oversized_answer_is_cut_off(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads more than an answer may have."""
    monkeypatch.setattr(http, "MOST_BYTES", 100)
    assert ends(reach, reach.candidate("openai")).code == "oversize"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360.0), ("1.5s", 1.5), ("20ms", 0.02), ("30", 30.0), ("1h2m", 3720.0), ("soon", 0.0), ("-1s", 0.0)],
)
def test_spans_are_read(text: str, seconds: float) -> None:
    """A span in a provider's header is read as seconds, and nonsense as none."""
    assert http.span(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "12", "retry-after-ms": "11500"}, 11.5),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "999999999"}, 86_400.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are read; what is none of them is nothing, and no wait is longer than a day."""
    assert http.retry_after(Response(429, headers, b"{}")) == seconds
