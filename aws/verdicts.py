"""What handlers are decorated with: failures become what the caller of a function understands.

One decorator per kind of caller. Nothing is swallowed: what nobody foresaw is noted by its type and place, never
by its message, which may quote a document.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from pathlib import PurePath
from traceback import extract_tb
from typing import TYPE_CHECKING, cast

from aws import wire, wiring
from aws.adapters.telemetry import Noted, count, note
from aws.wiring import flush
from shared.errors import FabricError, Permanent, Transient
from shared.problems import code_of

if TYPE_CHECKING:
    from aws.wire import Json, Request
    from shared.ports import Ports

Handler = Callable[["Json", object], "Json"]
Reader = Callable[["Json", Collection[str]], "Request"]


def http(routes: Mapping[str, Callable[[Request], Json]], read: Reader = wire.request) -> Handler:
    """Serve an HTTP API by its route keys; `read` says whose requests it takes, clients' or other clouds'."""

    def handler(event: Json, _context: object = None) -> Json:
        try:
            trusted = wiring.trust()
            if trusted is not None:
                wire.check_token(event, trusted, wiring.clock())
            request = read(event, routes)
            return routes[request.route](request)
        except FabricError as verdict:
            count("RequestsRefused")
            note("request refused", code=code_of(verdict), route=str(event.get("routeKey")))
            return wire.problem(verdict)
        except Exception as error:  # noqa: BLE001  the door: a stranger gets an answer, the operator gets the type
            unforeseen(error)
            return wire.problem(Permanent("something went wrong here; the operator can see what", code="internal"))
        finally:
            flush()

    return handler


def pipeline(use: Callable[[Json], Json]) -> Handler:
    """Serve Step Functions: a failure carries the name of its verdict, by which the definition catches and retries."""

    @wraps(use)
    def handler(event: Json, _context: object = None) -> Json:
        try:
            return use(event)
        except FabricError as verdict:
            passing = isinstance(verdict, Transient)
            count("StepsDelayed" if passing else "StepsFailed")
            note("step delayed" if passing else "step failed", **_about(event, code_of(verdict)))
            raise wire.named(verdict) from verdict
        except Exception as error:  # noqa: BLE001  the door: what the runtime logs of it must not quote a document
            unforeseen(error)
            raise wire.named(Permanent(f"unforeseen {type(error).__name__}", code="internal")) from None
        finally:
            flush()

    return handler


def _about(event: object, code: str) -> Noted:
    """Return what a plain input says about itself, as far as it is an object of names."""
    named = event if isinstance(event, dict) else {}
    said = {name: named[name][:80] for name in ("tenant", "task", "step") if isinstance(named.get(name), str)}
    return cast("Noted", said | {"code": code})


def buried(mine: Ports, body: str, poison: Permanent, origin: str) -> bool:
    """Keep a message nobody can ever handle among the dead letters; False when that cannot be done now."""
    if mine.dead_letters is None:
        return False
    try:
        mine.dead_letters.bury(body, f"[{poison.code}] {poison}", origin)
    except Transient:
        return False
    return True


def unforeseen(error: Exception) -> None:
    """Note an error nobody foresaw: its type and where it came from."""
    last = extract_tb(error.__traceback__)[-1]
    count("Unforeseen")
    note("unforeseen", severe=True, error=type(error).__name__, where=f"{PurePath(last.filename).name}:{last.lineno}")
