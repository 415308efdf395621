"""Azure's envelopes and the fabric's words: requests to commands, verdicts to responses.

May know HTTP, the identity headers and the queue; must not know stores, nor how anything is decided.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import parse_qsl

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from azure.fabric import pages
from shared import problems
from shared.core.approval import Person, Vote
from shared.errors import FabricError, Forbidden, Permanent
from shared.events.approval import Verdict
from shared.events.catalog import AnyEvent, checked, explain, parse
from shared.events.document import Sha256
from shared.events.limits import CLAIM_CHECK
from shared.events.strict import load_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SOURCE = "/azure/review"
JSON = "application/json"
PRINCIPAL = "X-MS-CLIENT-PRINCIPAL"
MAX_DECISION = 16 * 1024
MAX_PAGE = 100
MAX_SHOWN = 128
PEER = "fabric"  # the role of the fabric's own functions on other clouds
NOTIFIER = "notifier"  # the role of the application that tells people what waits for them
FORM = "application/x-www-form-urlencoded"

# What a claim may be called: short, as Entra's v2 tokens say it, or long, as App Service maps it.
_TENANT_CLAIMS = ("tenant", "tid", "http://schemas.microsoft.com/identity/claims/tenantid")
_ROLE_CLAIMS = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")
# Who it is: given once and to nobody else. A name may change hands, so it is only shown.
_OBJECT_CLAIMS = ("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier")
_SUBJECT_CLAIMS = ("sub", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier")
_SHOWN_CLAIMS = ("@name", "preferred_username", "name", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name")

logger = logging.getLogger(__name__)


class UnforeseenError(Exception):
    """What nobody foresaw, by the name of its type: engines keep an exception's text, which may quote a document."""


class Review(TypedDict):
    """What the review of a task starts from."""

    tenant: str
    task: str
    run: int
    workflow: str
    documents: int


class DocumentOf(TypedDict):
    """One document of a run, as orchestrators and activities name it."""

    tenant: str
    task: str
    run: int
    workflow: str
    document: int


class FailureOf(DocumentOf):
    """A document that cannot be reviewed, and why."""

    code: str
    reason: str


class ApprovalOf(DocumentOf):
    """An approval of a document that was asked for."""

    approval: str


class Outcome(TypedDict, total=False):
    """What became of a document so far; `deadline` is ISO 8601, `code` and `reason` come with failures."""

    document: int
    outcome: str
    approval: str
    deadline: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and for which tenant: both from the identity provider, never from the request's own words."""

    tenant: str
    person: Person


class Decision(BaseModel):
    """What an approver posts; who they are is not theirs to say."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    verdict: Verdict
    digest: Sha256
    comment: str = Field(default="", max_length=2000)


class Choice(BaseModel):
    """What the page of a link posts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    verdict: Verdict
    comment: str = Field(default="", max_length=2000)


class Holder(BaseModel):
    """Whom a link is for; nobody named: the caller."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: Person | None = None


def decoded(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Return a durable input as it was meant: some clients deliver an object, others its JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def event_of(body: bytes, *, tenant: str | None = None) -> AnyEvent:
    """Return the event in a queue message or a request; Permanent when it is none (of the tenant's)."""
    return parse(body, tenant=tenant, transport="storage-queue")


def body_of(request: func.HttpRequest, limit: int = CLAIM_CHECK) -> bytes:
    """Return the request's body; Permanent when it is larger than `limit`."""
    body = request.get_body()
    if len(body) > limit:
        raise Permanent(f"{len(body)} bytes are more than the {limit} this takes", code="oversize")
    return body


def vote_of(request: func.HttpRequest, person: Person) -> Vote:
    """Return the caller's vote; Permanent when the body is not exactly a decision."""
    said = checked(Decision, load_object(body_of(request, MAX_DECISION)))
    return Vote(verdict=said.verdict, by=person, digest=said.digest, comment=said.comment)


def choice_of(request: func.HttpRequest) -> Choice:
    """Return what a page's form says; Permanent when it is not exactly that form."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != FORM:
        raise Permanent(f"only {FORM} is taken", where="headers.content-type")
    try:
        body = body_of(request, MAX_DECISION).decode("ascii")
        said = parse_qsl(body, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=2)
    except ValueError as error:
        raise Permanent("this is no form of ours", where="body") from error
    if len(dict(said)) != len(said):
        raise Permanent("a field stands twice", code="duplicate-key", where="body")
    return checked(Choice, dict(said))


def holder_of(request: func.HttpRequest, *, vouched: bool) -> Caller:
    """Return whom a link is asked for: the caller, or a person whom a notifier names."""
    body = body_of(request, MAX_DECISION)
    asked = checked(Holder, load_object(body) if body else {})
    if asked.person is None:
        return caller_of(request.headers, vouched=vouched)
    header = request.headers.get(PRINCIPAL)
    claims = _claims(header) if vouched and header else {}
    if not _has_role(claims, NOTIFIER):
        raise Forbidden(f"only the role {NOTIFIER!r} may ask for somebody else's link")
    return Caller(_needed(claims, _TENANT_CLAIMS, "tenant"), asked.person)


def page_of(request: func.HttpRequest) -> tuple[int, str]:
    """Return how many approvals the caller wants, and after which one."""
    asked = request.params.get("limit", "50")
    if not (asked.isascii() and asked.isdecimal() and 1 <= int(asked[:9]) <= MAX_PAGE):
        raise Permanent(f"a number from 1 to {MAX_PAGE} is needed", where="limit")
    after = request.params.get("after", "")
    if len(after) > MAX_PAGE or not after.isprintable():
        raise Permanent("the id of an approval is needed", where="after")
    return int(asked), after


def caller_of(headers: Mapping[str, str], *, vouched: bool) -> Caller:
    """Return who App Service authentication says is calling.

    https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """
    header = headers.get(PRINCIPAL)
    if not vouched or not header:
        why = "sign in first" if vouched else "App Service authentication is off, so nobody can vouch for the caller"
        raise Permanent(why, code="unauthenticated")
    try:
        return _caller(_claims(header))
    except ValidationError as error:
        raise Permanent(str(explain(error)), code="unauthenticated", where=PRINCIPAL) from error


def tenant_spoken_for(headers: Mapping[str, str], *, vouched: bool) -> str | None:
    """Return the one tenant whose events the caller may bring; None for the fabric's own functions: any tenant's.

    An application's token has no person in it, so those are known by their role alone.
    """
    header = headers.get(PRINCIPAL)
    if vouched and header:
        claims = _claims(header)
        if _has_role(claims, PEER):
            return None
    return caller_of(headers, vouched=vouched).tenant


def _claims(header: str) -> dict[str, list[str]]:
    """Return the values of each claim; those of the mapped name and role types also under `@name` and `@role`."""
    try:
        principal = load_object(base64.b64decode(header, validate=True))
        claims: dict[str, list[str]] = {}
        for claim in principal["claims"]:
            claims.setdefault(str(claim["typ"]), []).append(str(claim["val"]))
    except (binascii.Error, ValueError, KeyError, TypeError, Permanent) as error:
        raise Permanent("it is not a client principal", code="unauthenticated", where=PRINCIPAL) from error
    for kind in ("name", "role"):
        claims[f"@{kind}"] = claims.get(str(principal.get(f"{kind}_typ")), [])
    return claims


def _caller(claims: dict[str, list[str]]) -> Caller:
    tenant = _needed(claims, _TENANT_CLAIMS, "tenant")
    name = _needed(claims, (*_OBJECT_CLAIMS, *_SUBJECT_CLAIMS), "person")
    if _is_application(claims):
        raise Permanent("it names an application and no person", code="unauthenticated", where=PRINCIPAL)
    roles = dict.fromkeys(role for kind in ("@role", *_ROLE_CLAIMS) for role in claims.get(kind, ()))
    shown = (_first(claims, _SHOWN_CLAIMS) or "")[:MAX_SHOWN]
    return Caller(tenant, Person(name=name, roles=tuple(roles), shown=shown))


def _is_application(claims: dict[str, list[str]]) -> bool:
    """Tell an application's token from a person's.

    https://learn.microsoft.com/entra/identity-platform/scenario-protected-web-api-verification-scope-app-roles: it says
    so where the optional claim is turned on; everywhere an application is its own subject.
    """
    if "app" in claims.get("idtyp", ()):
        return True
    subject = _first(claims, _SUBJECT_CLAIMS)
    return subject is not None and subject == _first(claims, _OBJECT_CLAIMS)


def _has_role(claims: dict[str, list[str]], role: str) -> bool:
    return any(role in claims.get(kind, ()) for kind in ("@role", *_ROLE_CLAIMS))


def _needed(claims: dict[str, list[str]], kinds: tuple[str, ...], what: str) -> str:
    found = _first(claims, kinds)
    if found is None:
        raise Permanent(f"it names no {what}", code="unauthenticated", where=PRINCIPAL)
    return found


def _first(claims: dict[str, list[str]], kinds: tuple[str, ...]) -> str | None:
    return next((claims[kind][0] for kind in kinds if claims.get(kind)), None)


def answer(status: int, content: object, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """Return a JSON response."""
    return func.HttpResponse(json.dumps(content), status_code=status, headers=headers, mimetype=JSON)


def answered(work: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    """Return what `work` answers, or its failure as a problem."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  the door: whatever it is, the caller gets a problem and the log its place
        return problem(error)


def paged(work: Callable[[], pages.Page]) -> func.HttpResponse:
    """Return the page that `work` makes, or one that says why there is none."""
    try:
        made = work()
    except Exception as error:  # noqa: BLE001  the door: whatever it is, the person gets a page and the log its place
        details = problems.problem(_understood(error))
        made = pages.refusal(details["status"], details["detail"])
    kind = {"mimetype": "text/html", "charset": "utf-8"}
    return func.HttpResponse(made.html, status_code=made.status, headers=pages.HEADERS, **kind)


async def answered_later(work: Awaitable[func.HttpResponse]) -> func.HttpResponse:
    """Return what `work` answers, or its failure as a problem."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001  the door: whatever it is, the caller gets a problem and the log its place
        return problem(error)


def problem(error: Exception) -> func.HttpResponse:
    """Return a failure as problem details (RFC 9457); an unexpected one leaves its internals in the log."""
    known = _understood(error)
    details = problems.problem(known)
    said, status, headers = json.dumps(details), details["status"], dict(problems.retry_after(known))
    return func.HttpResponse(said, status_code=status, headers=headers, mimetype=problems.MEDIA_TYPE)


def _understood(error: Exception) -> FabricError:
    if isinstance(error, FabricError):
        return error
    note(error)
    return Permanent("something went wrong here; the log knows more", code="internal")


def note(error: Exception) -> None:
    """Log an error nobody foresaw: its type and place, never its message, which may quote a document."""
    logger.error("unexpected %s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
