"""Environment to ports, on AWS. Only here is the environment read, and only here are clients made.

AGENTFABRIC_PORTS="module:callable" names another place that has ports: a laptop, a test.
TRUSTED_ISSUER and TRUSTED_AUDIENCES (with commas) say whose tokens are believed behind the API's authorizer, which are
its own settings once more; AGENTFABRIC_AUTH=none leaves it at that, on one machine.
PROVIDER_SECRETS is the ARN of a secret: a JSON object of the variables that the policy's candidates name as their
credentials. It is read when the first call needs one; a variable that is set here goes before.
EGRESS names networks, such as `10.1.0.0/16`, where models may be asked besides the public internet.
OTEL_EXPORTER_OTLP_ENDPOINT and what belongs to it: see providers/otlp.py.

The forwarder alone reads where the neighbours are and how to get a token for each:
REVIEWS_URL    https://<app>.azurewebsites.net/api/reviews; empty: there is no Azure (yet)
RECORDS_TOPIC  projects/…/topics/…; empty: there is no GCP (yet)
PUBSUB_URL     where Pub/Sub's REST API is, if not at Google
REVIEWS_TOKEN, RECORDS_TOKEN
               entra:<tenant>/<client>/<scope>      the role's token, exchanged at Entra ID
               google://iam.googleapis.com/…        likewise, by that workload identity provider
               file:///… or http://127.0.0.1:…      what is there; for one machine
               (nothing)                            no token; for an emulator
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from shared.errors import Permanent, Transient

if TYPE_CHECKING:
    from aws.adapters.bus import Destinations
    from aws.adapters.handover import Handover
    from aws.adapters.web import Web
    from aws.wire import Trust
    from providers.otlp import Exporter
    from shared.ports import Ports

_log = logging.getLogger(__name__)
_ATTEMPTS = 3
_CONNECT_SECONDS = 2
_NEIGHBOUR_SECONDS = 10.0
_PUBSUB = "https://pubsub.googleapis.com"
_ENTRA_AUDIENCE = "api://AzureADTokenExchange"  # what Entra ID wants a token to be meant for
_PIPELINE_SECONDS = "305"  # an Express execution takes five minutes at most


@runtime_checkable
class Starts(Protocol):
    """What the port `Pipelines` does not ask of other clouds: to start a pipeline and leave it alone."""

    def start(self, workflow: str, name: str, given: Mapping[str, Any]) -> None:
        """Start it, or leave it as it is when it was started under this name before."""
        ...


def starts() -> Starts:
    """Return this place's pipelines, where they can be started."""
    pipelines = ports().pipelines
    if not isinstance(pipelines, Starts):
        raise Transient("no pipelines are started from here")
    return pipelines


def ports() -> Ports:
    """Return the ports of this place."""
    return _factory(os.environ.get("AGENTFABRIC_PORTS", "aws.wiring:amazon"))()


def trust() -> Trust | None:
    """Return whose tokens are believed; None on a machine where whoever comes in may read its files anyway."""
    from aws.wire import Trust  # noqa: PLC0415  the wire is not the wiring's to load

    if os.environ.get("AGENTFABRIC_AUTH") == "none":
        return None
    issuer, audiences = os.environ.get("TRUSTED_ISSUER", ""), os.environ.get("TRUSTED_AUDIENCES", "")
    if not issuer or not audiences:
        raise Permanent("TRUSTED_ISSUER and TRUSTED_AUDIENCES are not set", code="not-configured")
    return Trust(issuer, frozenset(one.strip() for one in audiences.split(",") if one.strip()))


def clock() -> float:
    """Return the time by which tokens expire, in seconds since the epoch."""
    return time.time()


@cache
def _factory(named: str) -> Callable[[], Ports]:
    module, _, name = named.partition(":")
    return cast("Callable[[], Ports]", getattr(import_module(module), name))


@cache
def amazon() -> Ports:
    """Return the ports on AWS products; clients are made once per process, on first use."""
    from aws.adapters.bus import AmazonBus  # noqa: PLC0415  SDKs load when they are needed
    from aws.adapters.cache import DynamoCache  # noqa: PLC0415
    from aws.adapters.dead_letters import SqsDeadLetters  # noqa: PLC0415
    from aws.adapters.documents import S3Documents  # noqa: PLC0415
    from aws.adapters.dynamo import DynamoApprovals, DynamoJournal, DynamoOutbox, DynamoTasks  # noqa: PLC0415
    from aws.adapters.elsewhere import RecordsElsewhere  # noqa: PLC0415
    from aws.adapters.ledger import DynamoLedger  # noqa: PLC0415
    from aws.adapters.pipelines import ExpressPipelines  # noqa: PLC0415
    from aws.adapters.secrets import Secrets  # noqa: PLC0415
    from aws.adapters.settings import DynamoSettings  # noqa: PLC0415
    from providers.deployments import Deployments  # noqa: PLC0415
    from providers.egress import egress  # noqa: PLC0415
    from providers.http import Pool  # noqa: PLC0415
    from shared.app.learned import Learned, seat_of  # noqa: PLC0415
    from shared.app.nearby import Nearby  # noqa: PLC0415
    from shared.app.policy import stored  # noqa: PLC0415
    from shared.app.recent import Recent  # noqa: PLC0415
    from shared.app.together import Together  # noqa: PLC0415
    from shared.core.policy_text import seeded  # noqa: PLC0415
    from shared.models.lexical import Lexical  # noqa: PLC0415
    from shared.ports import Ports  # noqa: PLC0415

    table, log_stream = os.environ["TABLE_NAME"], os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")  # each has its own
    dynamo, sqs = client("dynamodb"), client("sqs")
    settings = DynamoSettings(dynamo, table)
    seed = seeded(os.environ["TENANTS"])
    policy, recent = stored(settings, lambda: seed, _now, _log.error), Recent(settings, _now)
    named = os.environ.get("PROVIDER_SECRETS", "")
    secrets = Secrets(os.environ, named, lambda: client("secretsmanager"), time.monotonic)
    return Ports(
        tasks=DynamoTasks(dynamo, table),
        outbox=DynamoOutbox(dynamo, table),
        bus=AmazonBus(client("kinesis"), sqs, _destinations()),
        journal=DynamoJournal(dynamo, table),
        approvals=DynamoApprovals(dynamo, table),
        documents=S3Documents(client("s3"), os.environ["DOCUMENTS_BUCKET"]),
        models=Deployments(lambda: policy().candidates, secrets, Pool(egress(os.environ.get("EGRESS", "")))),
        pipelines=ExpressPipelines(_express(), {"document-review": os.environ["STATE_MACHINE_ARN"]}),
        records=RecordsElsewhere(),
        ledger=DynamoLedger(dynamo, table),
        cache=DynamoCache(dynamo, table),
        learned=Together(Learned(seat_of(log_stream), lambda: policy().breaker.breaker), recent, _now),
        settings=recent,
        policy=policy,
        now=_now,
        nearby=Nearby(Lexical()),
        dead_letters=SqsDeadLetters(sqs, os.environ["DEAD_LETTERS_QUEUE_URL"]),
        spans=spans(),
    )


@cache
def spans() -> Exporter | None:
    """Return where spans are recorded, or None when OTEL_EXPORTER_OTLP_ENDPOINT names no collector."""
    from providers.otlp import exporter  # noqa: PLC0415  loads when it is needed

    return exporter(os.environ, cloud_provider="aws")


def flush() -> None:
    """Send what this invocation recorded: Lambda may freeze the process right after it."""
    mine = spans()
    if mine is not None:
        mine.flush()


def _destinations() -> Destinations:
    from aws.adapters.bus import Destinations  # noqa: PLC0415
    from shared.core.routes import Lane  # noqa: PLC0415

    return Destinations(
        stream=os.environ["STREAM_NAME"],
        lanes={
            Lane.INTERACTIVE: os.environ["INTERACTIVE_QUEUE_URL"],
            Lane.BACKGROUND: os.environ["BACKGROUND_QUEUE_URL"],
        },
        reviews=os.environ["REVIEWS_QUEUE_URL"],
        records=os.environ["RECORDS_QUEUE_URL"],
    )


def _now() -> datetime:
    return datetime.now(UTC)


@cache
def handovers() -> Mapping[str, Handover]:
    """Return the hand-over queues by their names, each with the neighbour it leads to."""
    from aws.adapters.handover import Handover  # noqa: PLC0415  SDKs load when they are needed
    from aws.adapters.neighbours import AzureReviews, PubsubTopic  # noqa: PLC0415
    from aws.adapters.web import Web  # noqa: PLC0415
    from shared.core.routes import Route  # noqa: PLC0415

    web, sqs = Web(_NEIGHBOUR_SECONDS), client("sqs")
    found: list[Handover] = []
    if reviews := os.environ.get("REVIEWS_URL"):
        bus = AzureReviews(web, reviews, _token(web, os.environ.get("REVIEWS_TOKEN", "")))
        found.append(Handover(sqs, os.environ["REVIEWS_QUEUE_URL"], Route.REVIEWS, bus))
    if topic := os.environ.get("RECORDS_TOPIC"):
        token = _token(web, os.environ.get("RECORDS_TOKEN", ""))
        records = PubsubTopic(web, os.environ.get("PUBSUB_URL") or _PUBSUB, topic, token)
        found.append(Handover(sqs, os.environ["RECORDS_QUEUE_URL"], Route.RECORDS, records))
    return {one.queue: one for one in found}


def _token(web: Web, said: str) -> Callable[[], str]:
    """Return the source of tokens that a setting names."""
    from aws.adapters import tokens  # noqa: PLC0415  loads when it is needed

    kind, _, rest = said.partition(":")
    match kind:
        case "":
            return lambda: ""
        case "entra":
            vouched = tokens.WebIdentity(client("sts"), _ENTRA_AUDIENCE)
            return tokens.Kept(tokens.entra(web, vouched, *rest.split("/", 2)), time.monotonic)
        case "google":
            vouched = tokens.WebIdentity(client("sts"), f"https:{rest}")
            return tokens.Kept(tokens.google(web, vouched, rest), time.monotonic)
    return tokens.Place(web, said)


def client(service: str, **settings: Any) -> Any:  # noqa: ANN401  boto3 makes its clients' types at run time
    """Return a client; retries are decided here for every adapter, and nowhere else."""
    import boto3  # noqa: PLC0415  loads when a client is needed
    from botocore.config import Config  # noqa: PLC0415

    retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
    return boto3.client(service, config=Config(**{"retries": retries, "connect_timeout": _CONNECT_SECONDS} | settings))


def _express() -> Any:  # noqa: ANN401  boto3 makes its clients' types at run time
    """Return the client that runs and starts pipelines.

    It asks once: trying again while the first execution goes on would run the pipeline twice, and a start that
    failed comes again with its queue's message.
    """
    prefix = os.environ.get("EXPRESS_HOST_PREFIX", "true") == "true"  # an emulator has one host, without `sync-`
    once = {"mode": "standard", "total_max_attempts": 1}
    seconds = int(os.environ.get("PIPELINE_SECONDS", _PIPELINE_SECONDS))
    return client("stepfunctions", retries=once, read_timeout=seconds, inject_host_prefix=prefix)
