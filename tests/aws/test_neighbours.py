"""The neighbours' doors and the tokens that open them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from aws import wiring
from aws.adapters.neighbours import AzureReviews, PubsubTopic
from aws.adapters.tokens import Exchange, Kept, Place, WebIdentity, entra, google
from aws.adapters.web import Answer, Web
from shared.core.routes import Route
from shared.errors import FabricError, Permanent, Transient
from shared.events.catalog import parse
from tests.contracts.amazon import answering, client
from tests.contracts.bus_contract import events
from tests.contracts.gateway import loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass
class Door:
    """What a neighbour was asked, and what it answers."""

    answers: list[Answer]
    asked: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)

    def serve(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        """Answer."""
        self.asked.append((method, path, {name.lower(): value for name, value in headers.items()}, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def door(*answers: Answer) -> Iterator[tuple[Door, str]]:
    """Open a neighbour's door on this machine."""
    made = Door(list(answers))
    with loopback(made.serve) as address:
        yield made, address


def problem(status: int, code: str = "", **headers: str) -> Answer:
    """Return problem details, or what a gateway says."""
    told = {"code": code, "detail": "why"} if code else {"message": "why"}
    return Answer(status, headers, json.dumps(told).encode())


def reviews(address: str) -> AzureReviews:
    """Return the way to the reviews."""
    return AzureReviews(Web(5.0), f"{address}/api/reviews", lambda: "token")


def topic(address: str) -> PubsubTopic:
    """Return the way to the topic."""
    return PubsubTopic(Web(5.0), f"{address}/", "projects/p/topics/t", lambda: "")


def test_a_review_is_posted_as_the_event_itself() -> None:
    """The event is the body, and who brings it is in the token."""
    said = events("ä: 文書", count=2)
    with door(Answer(202, {}, b"{}")) as (asked, address):
        reviews(address).publish([(Route.REVIEWS, event) for event in said])
    assert [(method, path, parse(body)) for method, path, _, body in asked.asked] == [
        ("POST", "/api/reviews", event) for event in said
    ]
    assert {headers["authorization"] for _, _, headers, _ in asked.asked} == {"Bearer token"}


REFUSALS: Sequence[tuple[Answer, type[FabricError], object]] = (
    (problem(400, "not-for-reviews"), Permanent, "not-for-reviews"),
    (problem(404, "not-found"), Permanent, "not-found"),
    (problem(413, "oversize"), Permanent, "oversize"),
    (problem(503, "try-later", **{"Retry-After": "5"}), Transient, 5.0),
    (problem(429), Transient, 15.0),
    (problem(500, "internal"), Transient, 1.0),
    (problem(502), Transient, 1.0),
    (problem(404), Transient, 15.0),  # nobody serves this address (yet)
    (problem(401, "unauthenticated"), Transient, 15.0),
    (problem(403, "unknown-tenant"), Transient, 15.0),
    (problem(200), Transient, 15.0),  # whoever that was, it was not our function
    (Answer(302, {"Location": "https://elsewhere.example.com"}, b""), Transient, 15.0),
)


@pytest.mark.parametrize(("answer", "kind", "says"), REFUSALS)
def test_a_refused_review_has_a_verdict(answer: Answer, kind: type[FabricError], says: object) -> None:
    """What a review says of an event is for good; what is said of the deployment, or of now, is waited out."""
    with door(answer) as (asked, address), pytest.raises(kind) as refused:
        reviews(address).publish([(Route.REVIEWS, event) for event in events()])
    assert type(refused.value) is kind
    assert says == getattr(refused.value, "code", getattr(refused.value, "retry_after", None))
    assert len(asked.asked) == 1


def test_a_record_is_published_with_its_key_and_its_attributes() -> None:
    """The entity is the ordering key, the owner stands beside the body, and an emulator gets no token."""
    said = events("ä: 文書", count=2)
    with door(Answer(200, {}, b'{"messageIds": ["1"]}')) as (asked, address):
        topic(address).publish([(Route.RECORDS, event) for event in said])
    for (method, path, headers, body), event in zip(asked.asked, said, strict=True):
        (message,) = json.loads(body)["messages"]
        assert (method, path) == ("POST", "/v1/projects/p/topics/t:publish")
        assert "authorization" not in headers
        assert parse(base64.b64decode(message["data"])) == event
        assert message["orderingKey"] == event.entity
        assert message["attributes"] == {
            "tenant": "acme",
            "partitionkey": event.entity,
            "sequence": str(event.sequence),
            "type": event.type,
        }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_what_pubsub_refuses_is_waited_out(status: int) -> None:
    """Nothing an event could say is refused by Pub/Sub, so its refusals are about the deployment."""
    with door(problem(status)) as (asked, address), pytest.raises(Transient):
        topic(address).publish([(Route.RECORDS, event) for event in events()])
    assert len(asked.asked) == 1


@pytest.mark.parametrize(("make", "route"), [(reviews, Route.RECORDS), (topic, Route.REVIEWS)])
def test_a_door_takes_its_own_route_alone(make: Callable[[str], Any], route: Route) -> None:
    """An event that goes another way is refused before anybody is asked."""
    with pytest.raises(Permanent) as refused:
        make("http://127.0.0.1:1").publish([(route, events()[0])])
    assert refused.value.code == "no-route"


@pytest.mark.parametrize("make", [reviews, topic])
def test_a_neighbour_out_of_reach_is_passing(make: Callable[[str], Any]) -> None:
    """A connection that cannot be made asks for another attempt."""
    route = Route.REVIEWS if make is reviews else Route.RECORDS
    with pytest.raises(Transient):
        make("http://127.0.0.1:1").publish([(route, events()[0])])


@pytest.mark.parametrize("url", ["http://example.com/api", "ftp://127.0.0.1.example.com/", "http://10.0.0.1/"])
def test_no_token_travels_in_the_clear(url: str) -> None:
    """Outside this machine requests are made over TLS alone."""
    with pytest.raises(Permanent) as refused:
        Web(1.0).ask("POST", url, {})
    assert refused.value.code == "not-configured"


def test_connections_are_kept() -> None:
    """A second request goes over the first one's connection."""
    with door(Answer(202, {}, b"{}")) as (_, address):
        web = Web(5.0)
        for _ in range(3):
            web.ask("POST", f"{address}/api/reviews", {}, b"{}")
        pool = web._pool.connection_from_url(address)
    assert isinstance(pool, urllib3.HTTPConnectionPool)
    assert pool.num_connections == 1


# --- tokens


class Scripted(Web):
    """The web as a script: what each address answers, and what it was asked."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str]] = []

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Answer."""
        self.asked.append((method, url, (body or b"").decode()))
        assert method == "GET" or headers["Content-Type"] == "application/x-www-form-urlencoded"
        return self.answers[url]


def granted(token: str) -> Answer:
    """Return what an identity provider answers."""
    return Answer(200, {}, json.dumps({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}).encode())


def test_aws_vouches_for_the_function() -> None:
    """STS is asked for a token for one audience, and gives it."""
    sts = client("sts")
    with answering(sts, {"WebIdentityToken": "vouched"}):
        assert WebIdentity(sts, "api://AzureADTokenExchange")() == "vouched"


def test_entra_takes_the_vouched_token_for_a_secret() -> None:
    """The role's token stands where a client's secret would, and no secret is anywhere."""
    url = "https://login.microsoftonline.com/contoso/oauth2/v2.0/token"
    web = Scripted({url: granted("azure-token")})
    assert entra(web, lambda: "vouched", "contoso", "client-1", "api://reviews/.default")() == ("azure-token", 3600.0)
    ((_, _, body),) = web.asked
    assert "client_assertion=vouched" in body
    assert "client_secret" not in body


def test_google_takes_the_vouched_token_in_exchange() -> None:
    """The role's token is exchanged at the provider that trusts it."""
    web = Scripted({"https://sts.googleapis.com/v1/token": granted("google-token")})
    provider = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws"
    assert google(web, lambda: "vouched", provider)() == ("google-token", 3600.0)
    ((_, _, body),) = web.asked
    assert "subject_token=vouched" in body


def test_an_exchange_that_fails_is_passing() -> None:
    """A provider that gives no token now may give one later."""
    web = Scripted({"https://sts.googleapis.com/v1/token": problem(400)})
    with pytest.raises(Transient):
        google(web, lambda: "vouched", "//iam.googleapis.com/x")()


def test_a_token_is_kept_until_shortly_before_it_expires() -> None:
    """A token is fetched once and again five minutes before its end."""
    now, fetched = [1000.0], []

    def fetch() -> tuple[str, float]:
        fetched.append(now[0])
        return f"token-{len(fetched)}", 3600.0

    kept = Kept(fetch, lambda: now[0])
    said = [kept(), kept()]
    now[0] += 3299
    said.append(kept())
    now[0] += 1
    assert [*said, kept()] == ["token-1", "token-1", "token-1", "token-2"]


def test_a_place_is_read_each_time(tmp_path: Path) -> None:
    """Whoever writes a fresh token into the file is believed at once, and an address is asked each time."""
    file = tmp_path / "token"
    place = Place(Scripted({}), file.as_uri())
    for text in ("one", "two"):
        file.write_text(f"{text}\n")
        assert place() == text
    url = "http://127.0.0.1:1/token"
    assert Place(Scripted({url: Answer(200, {}, b"three\n")}), url)() == "three"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The forwarder's environment."""
    wiring.handovers.cache_clear()
    for name in ("REVIEWS_URL", "REVIEWS_TOKEN", "RECORDS_TOPIC", "RECORDS_TOKEN", "PUBSUB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("REVIEWS_QUEUE_URL", "https://sqs/1/reviews.fifo")
    monkeypatch.setenv("RECORDS_QUEUE_URL", "https://sqs/1/records.fifo")
    yield monkeypatch
    wiring.handovers.cache_clear()


def test_no_neighbour_is_there_until_it_is_named(settings: pytest.MonkeyPatch) -> None:
    """A deployment without Azure and GCP has no ways, and one with GCP alone has one."""
    assert wiring.handovers() == {}
    wiring.handovers.cache_clear()
    settings.setenv("RECORDS_TOPIC", "projects/p/topics/t")
    settings.setenv("RECORDS_TOKEN", "google://iam.googleapis.com/projects/1/x")
    assert [(name, way.route) for name, way in wiring.handovers().items()] == [("records.fifo", Route.RECORDS)]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("entra:contoso/client-1/api://reviews/.default", Kept),
        ("google://iam.googleapis.com/projects/1/x", Kept),
        ("file:///var/run/token", Place),
        ("http://127.0.0.1:1/token", Place),
    ],
)
@pytest.mark.usefixtures("settings")
def test_a_setting_names_where_tokens_come_from(said: str, kind: type) -> None:
    """Each kind of setting leads to its source of tokens."""
    token = wiring._token(Web(1.0), said)
    assert isinstance(token, kind)
    if said.startswith("entra:"):
        assert isinstance(token, Kept)
        assert isinstance(token.fetch, Exchange)
        assert "contoso" in token.fetch.url
        assert token.fetch.form["scope"] == "api://reviews/.default"
