"""What operators do at their desk: the same with the fabric's own stores at hand, or through the API on AWS.

May know the controls, the operators' endpoints and their answers; must not print anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlencode

from local.entrance import patience_of
from shared.errors import Conflict, FabricError, Permanent, Throttled, Transient

if TYPE_CHECKING:
    from local.controls import Controls
    from shared.core.switches import Scope

ROLES = ("operator",)


class Made(NamedTuple):
    """A policy that was put in force."""

    version: str
    tenants: int
    candidates: int


class Trail(NamedTuple):
    """What operators did, in its order, and what is wrong with that; nothing is wrong: empty."""

    deeds: Sequence[Mapping[str, Any]]
    wrong: str


class Still(NamedTuple):
    """What is still stopped."""

    stops: str
    by: str
    reason: str


class Desk(Protocol):
    """All that operators do."""

    def text(self) -> str:
        """Return the policy as it is written."""
        ...

    def text_of(self, version: str) -> str:
        """Return the policy that has or had this version, or these prices' version, as it was written."""
        ...

    def put(self, text: str) -> Made:
        """Put another one in force; Permanent, and nothing changes, unless all of it is in order."""
        ...

    def tenants(self) -> Sequence[Mapping[str, Any]]:
        """Return what is known of every tenant, by their names."""
        ...

    def stop(self, scope: Scope, name: str, *, by: str, reason: str) -> str:
        """Stop work and return what is stopped."""
        ...

    def start(self, scope: Scope, name: str) -> Sequence[Still]:
        """Let work go on and return what is still stopped."""
        ...

    def trail(self) -> Trail:
        """Return who did what, and whether that is the whole truth."""
        ...

    def quiet(self, scope: Scope, name: str) -> bool:
        """Tell whether no such call can be out any more: not before every process goes by the switch."""
        ...


class Call(Protocol):
    """The way to the API."""

    def __call__(
        self, method: str, path: str, *, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send a request as an operator; return the status and the JSON answer."""
        ...


class AtHand:
    """The stores themselves."""

    def __init__(self, controls: Controls, person: str) -> None:
        self._controls = controls
        self._person = person
        self._read: str | None = None

    def text(self) -> str:
        """Return the policy as it is written, and remember it."""
        self._read = self._controls.text()
        return self._read

    def text_of(self, version: str) -> str:
        """Return the policy that has or had this version, or these prices' version, as it was written."""
        from shared.app import operating  # noqa: PLC0415

        return operating.policy_of(self._controls, version)

    def put(self, text: str) -> Made:
        """Put another one in force instead of the one that was read, or of the one there is."""
        from shared.app import operating  # noqa: PLC0415

        mine, before = self._controls, self.text() if self._read is None else self._read
        if mine.text() != before:  # before it is noted: what is refused is nothing that anybody did
            raise operating.moved_on()
        operating.note_policy(mine.settings, text, mine.revision() + 1, by=self._person, at=mine.now())
        try:
            made = mine.put(text, before)
        except Conflict as other:
            raise operating.moved_on() from other
        self._read = text
        return Made(made.version, len(made.tenants), len(made.candidates))

    def tenants(self) -> Sequence[Mapping[str, Any]]:
        """Return what is known of every tenant, by their names."""
        from shared.app import operating  # noqa: PLC0415  `agentfabric --help` should not load what few verbs need

        return operating.tenants(self._controls)

    def stop(self, scope: Scope, name: str, *, by: str, reason: str) -> str:
        """Stop work and return what is stopped."""
        from shared.app import operating  # noqa: PLC0415

        return operating.stop(self._controls, scope, name, by=by, reason=reason).stops

    def start(self, scope: Scope, name: str) -> Sequence[Still]:
        """Let work go on and return what is still stopped."""
        from shared.app import switches  # noqa: PLC0415

        switches.start(self._controls, scope, name, by=self._person)
        return [Still(one.stops, one.by, one.reason) for one in switches.switched(self._controls)]

    def quiet(self, scope: Scope, name: str) -> bool:
        """Tell whether no such call can be out any more."""
        from shared.app import operating  # noqa: PLC0415

        return operating.quiet(self._controls, scope, name)

    def trail(self) -> Trail:
        """Return who did what, and whether that is the whole truth."""
        from shared.app import operating, trail  # noqa: PLC0415

        settings, found = self._controls.settings, list[Mapping[str, Any]]()
        while page := trail.deeds(settings, after=len(found)):
            found += [deed.model_dump(mode="json") for deed in page]
        held = trail.check(settings, *operating.CHANGED)
        return Trail(found, _wrong(held.broken, held.unnoted))


class Calls:
    """Calls of models whose end nobody knows, through the operators' endpoints: here, or on AWS."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def unknown(self, tenant: str, task: str) -> Sequence[Mapping[str, Any]]:
        """Return those of a task, each charged at its worst case."""
        asked = urlencode({"tenant": tenant, "task": task})
        found: Sequence[Mapping[str, Any]] = _accepted(*self._call("GET", f"/operator/calls?{asked}"))["calls"]
        return found

    def settle(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say what one has cost, and return what it is charged at now."""
        return _accepted(*self._call("PUT", "/operator/calls", body=dumps(said)))


class OverTheApi:
    """The operators' endpoints on AWS."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._revision: int | None = None

    def text(self) -> str:
        """Return the policy as it is written, and remember which writing of it that is."""
        answer = _accepted(*self._call("GET", "/operator/policy"))
        self._revision = answer["revision"]
        return str(answer["text"])

    def text_of(self, version: str) -> str:
        """Return the policy that has or had this version, or these prices' version, as it was written."""
        return str(_accepted(*self._call("GET", f"/operator/policy?{urlencode({'version': version})}"))["text"])

    def put(self, text: str) -> Made:
        """Put another one in force instead of the one that was read, or of the one there is."""
        if self._revision is None:
            self.text()
        headers = {"If-Match": f'"{self._revision}"', "Content-Type": "application/toml"}
        answer = _accepted(*self._call("PUT", "/operator/policy", body=text, headers=headers))
        self._revision = answer["revision"]
        return Made(answer["version"], answer["tenants"], answer["candidates"])

    def tenants(self) -> Sequence[Mapping[str, Any]]:
        """Return what is known of every tenant, page by page."""
        found: list[Mapping[str, Any]] = []
        path: str | None = "/operator/tenants?limit=100"
        while path is not None:
            answer = _accepted(*self._call("GET", path))
            found += answer["tenants"]
            path = answer["next"]
        return found

    def stop(self, scope: Scope, name: str, *, by: str, reason: str) -> str:  # noqa: ARG002  the token says who
        """Stop work and return what is stopped."""
        body = dumps({"scope": scope, "name": name, "reason": reason})
        return str(_accepted(*self._call("PUT", "/operator/switches", body=body))["stopped"])

    def start(self, scope: Scope, name: str) -> Sequence[Still]:
        """Let work go on and return what is still stopped."""
        answer = _accepted(*self._call("DELETE", f"/operator/switches?{_part(scope, name)}"))
        return [Still(one["stops"], one["by"], one["reason"]) for one in answer["switches"]]

    def quiet(self, scope: Scope, name: str) -> bool:
        """Tell whether no such call can be out any more."""
        return bool(_accepted(*self._call("GET", f"/operator/quiet?{_part(scope, name)}"))["quiet"])

    def trail(self) -> Trail:
        """Return who did what, page by page, and whether that is the whole truth."""
        found: list[Mapping[str, Any]] = []
        path = "/operator/trail?limit=100"
        while True:
            answer = _accepted(*self._call("GET", path))
            found += answer["deeds"]
            if answer["next"] is None:
                return Trail(found, _wrong(answer["checked"]["broken"], answer["checked"]["unnoted"]))
            path = answer["next"]


def _wrong(broken: int | None, unnoted: Sequence[str]) -> str:
    if broken is not None:
        return f"number {broken} is not what was written"
    return f"{' and '.join(unnoted)}: what is in force was written by nobody who is named here" if unnoted else ""


def _part(scope: Scope, name: str) -> str:
    return urlencode({"scope": scope} | ({"name": name} if name else {}))


def _accepted(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer, or raise the verdict that the problem is of."""
    if status < HTTPStatus.BAD_REQUEST:
        return answer
    raise _verdict(status, answer)


def _verdict(status: int, problem: Mapping[str, Any]) -> FabricError:
    said, code = str(problem.get("detail") or f"the API answered {status}"), str(problem.get("code", "refused"))
    seconds = patience_of(problem)
    later = 1.0 if seconds is None else seconds
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(said, retry_after=later, code=code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(said, retry_after=later)
    return Permanent(said, code=code)
