"""Envelopes of AWS to what the fabric understands, and verdicts to what AWS understands.

Knows the shapes of API Gateway, Kinesis, SQS and Step Functions. Knows no SDK, no environment, no use case.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field

from shared import problems
from shared.errors import FabricError, Forbidden, NotFound, Permanent, Transient
from shared.events.catalog import AnyEvent, checked, parse
from shared.events.ids import Tenant

Json = dict[str, Any]

SOURCE = "/aws"
MAX_BODY = 256 * 1024
MAX_PEER_BODY = 2 * 1024 * 1024  # Lambda takes 6 MB of the envelope, in which the body is escaped once more
PEER = "fabric"  # what the tokens of the fabric's own functions grant, as a scope or as a role
OPERATOR = "operator"  # the role of people who may see and change what concerns every tenant

SKEW = 60.0  # seconds that two clocks may differ

_WORD = re.compile(r"""[^\s\[\],"']+""")


class Caller(BaseModel):
    """Who calls, as the authorizer verified it: the person who asks."""

    model_config = ConfigDict(frozen=True)

    person: str = Field(alias="sub", min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")


class Identity(Caller):
    """A client: the person who asks, and the tenant that pays."""

    tenant: Tenant


class Trust(NamedTuple):
    """Whose tokens are believed, and for whom they must be meant."""

    issuer: str
    audiences: frozenset[str]

    def check(self, claims: Json, now: float) -> None:
        """Raise Forbidden (`unauthenticated`) unless these are claims of a token that holds now.

        The API's authorizer has checked it already. This is for the day on which it is set up wrongly: left out,
        another one at this route, or one that takes tokens that never expire.
        """
        missing = [name for name in ("iss", "aud", "exp", "iat", "sub") if not str(claims.get(name, "")).strip()]
        if missing:
            raise _unauthenticated(f"the token has no {', '.join(missing)}")
        if claims["iss"] != self.issuer or not self.audiences & set(_WORD.findall(str(claims["aud"]))):
            raise _unauthenticated("the token comes from another issuer, or is for another audience")
        try:
            made, ends = float(claims["iat"]), float(claims["exp"])
        except (TypeError, ValueError) as error:
            raise _unauthenticated("the token does not say from when until when it holds") from error
        if not made - SKEW <= now < ends + SKEW:
            raise _unauthenticated("the token has expired, or holds only later")


Who = TypeVar("Who", bound=Caller)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: `route` is the key of the API's route, such as `POST /tasks`.

    `tenant` is empty for the fabric's own functions, which speak for every tenant, and for operators.
    """

    route: str
    tenant: str
    person: str
    headers: Mapping[str, str]
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


def request(event: Json, routes: Collection[str]) -> Request:
    """Return the request in an HTTP API event of payload version 2.0.

    Raises Permanent for a caller without identity, for a route nobody serves, and for a body that is too large or
    not what it claims to be.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    caller = _identity(event, Identity)
    return _request(event, routes, caller.tenant, caller.person, MAX_BODY)


def peer_request(event: Json, routes: Collection[str]) -> Request:
    """Return the request of another cloud's function of this fabric; Forbidden when its token does not say so.

    Identity providers differ in how they say it: `scope` or `scp` for delegated tokens, `roles` for applications'.
    """
    claims = _claims(event)
    if PEER not in _words(claims, "scope", "scp", "roles"):
        raise Forbidden(f"only the fabric's own functions may ask this; their tokens grant {PEER!r}")
    return _request(event, routes, "", str(claims.get("sub", "")), MAX_PEER_BODY)


def operator_request(event: Json, routes: Collection[str]) -> Request:
    """Return the request of an operator; Forbidden when the caller's token does not give that role.

    Entra says it in `roles`, Cognito in its groups. A scope does not count: an application asks for that by itself.
    """
    caller = _identity(event, Caller)
    if OPERATOR not in _words(_claims(event), "roles", "cognito:groups"):
        raise Forbidden(f"only people with the role {OPERATOR!r} may ask this")
    return _request(event, routes, "", caller.person, MAX_BODY)


def _words(claims: Json, *names: str) -> set[str]:
    """Return the words of these claims; an array's text is its words in brackets."""
    return {word for name in names for word in _WORD.findall(str(claims.get(name, "")))}


def _request(event: Json, routes: Collection[str], tenant: str, person: str, most: int) -> Request:
    route, path = _route(event, routes)
    return Request(
        route=route,
        tenant=tenant,
        person=person,
        headers=event.get("headers") or {},
        path=path,
        query=event.get("queryStringParameters") or {},
        body=_body(event, most),
    )


def _route(event: Json, routes: Collection[str]) -> tuple[str, Mapping[str, str]]:
    """Take API Gateway's word for the route; an API with nothing but `$default` leaves the matching to us."""
    key: str = event["routeKey"]
    if key in routes:
        return key, event.get("pathParameters") or {}
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    for route in routes if key == "$default" else ():
        found = matched(route, method, path)
        if found is not None:
            return route, found
    raise NotFound(f"nothing at {method} {path[:200]}; known: {', '.join(routes)}")


def matched(template: str, method: str, path: str) -> dict[str, str] | None:
    """Return the path's parameters when method and path fit a route key such as `GET /tasks/{id}`, else None."""
    verb, _, pattern = template.partition(" ")
    wanted, given = pattern.split("/"), path.rstrip("/").split("/")
    if verb != method or len(wanted) != len(given):
        return None
    pairs = list(zip(wanted, given, strict=True))
    if any(not (part if want.startswith("{") else part == want) for want, part in pairs[1:]):
        return None
    return {want.strip("{}"): unquote(part) for want, part in pairs if want.startswith("{")}


def is_http(event: object) -> bool:
    """Tell an HTTP API's envelope from a plain invocation, which may be any JSON value."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and "http" in context


def check_token(event: Json, trust: Trust, now: float) -> None:
    """Raise Forbidden unless the request's token is one that we trust."""
    trust.check(_claims(event), now)


def _unauthenticated(message: str) -> Forbidden:
    return Forbidden(message, code="unauthenticated")


def _claims(event: Json) -> Json:
    """Return the claims of the verified token; an array arrives as its text, `[one two]`."""
    claims: Json = event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims", {})
    return claims


def _identity(event: Json, kind: type[Who]) -> Who:
    """Read who calls; nothing in the body can say who pays.

    Entra's `sub` differs from application to application; its `oid` is the same person on every cloud.
    """
    claims = dict(_claims(event))
    return checked(kind, claims | {"sub": claims["oid"]} if claims.get("oid") else claims, code="unauthenticated")


def _body(event: Json, most: int) -> bytes:
    text: str = event.get("body") or ""
    encoded = bool(event.get("isBase64Encoded"))
    if len(text) > (most * 4 // 3 + 4 if encoded else most):
        raise _oversize(len(text), most)
    body = decode_base64(text, "body") if encoded else text.encode("utf-8", errors="surrogatepass")
    if len(body) > most:
        raise _oversize(len(body), most)
    return body


def _oversize(size: int, most: int) -> Permanent:
    what = f"{size} bytes are more than the {most} a request may have; send references to documents, not documents"
    return Permanent(what, code="oversize", where="body")


def decode_base64(text: str, where: str) -> bytes:
    """Return the bytes; Permanent when the text is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Permanent("not base64", code="broken-base64", where=where) from error


def kinesis_body(record: Json) -> bytes:
    """Return the event in a record of a Kinesis batch.

    https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
    """
    return decode_base64(record["kinesis"]["data"], "kinesis.data")


def sqs_body(record: Json) -> bytes:
    """Return the event in a record of an SQS batch.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return str(record["body"]).encode()


def event_of(value: object) -> AnyEvent:
    """Return the event that stands as an object inside a request; Permanent when it is none."""
    return parse(json.dumps(value))


def answer(status: int, body: Json, headers: Mapping[str, str] | None = None) -> Json:
    """Return an HTTP answer in payload version 2.0."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def problem(error: FabricError) -> Json:
    """Return a verdict as problem details (RFC 9457), with Retry-After where trying again helps."""
    details = problems.problem(error)
    return answer(details["status"], details, {"content-type": problems.MEDIA_TYPE, **problems.retry_after(error)})


def named(error: FabricError) -> FabricError:
    """Return the verdict under exactly one of two class names, because Step Functions matches errors by these.

    The code leads the message: it is all that a failed Lambda can hand on.
    """
    if isinstance(error, Permanent):
        return Permanent(f"[{error.code}] {error}", code=error.code)
    return Transient(str(error), retry_after=getattr(error, "retry_after", 1.0))


def failures(records: list[str]) -> Json:
    """Return the answer of a batch: from the lowest failed record on, Kinesis delivers again; SQS, just the failed."""
    return {"batchItemFailures": [{"itemIdentifier": record} for record in records]}
