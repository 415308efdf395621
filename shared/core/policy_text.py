"""From what operators write to the policy in force: TOML (or JSON), checked as a whole and tenant by tenant.

A text that is broken changes nothing; a tenant's broken entry leaves that tenant as it was and touches no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.core.policy import Policy, TenantPolicy, digest_of
from shared.errors import Permanent
from shared.events.ids import Tenant
from shared.events.limits import shown
from shared.events.strict import load_object
from shared.events.strict_toml import load_toml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST_CHARACTERS = 256 * 1024
_MOST_PROBLEMS = 10
_DERIVED = frozenset({"version", "text", "name"})  # nobody writes these
_NAME: TypeAdapter[str] = TypeAdapter(Tenant)
Model = TypeVar("Model", bound=BaseModel)


Last = Callable[[], "Policy | None"]


class Reading(NamedTuple):
    """The policy a text leads to, and what of the text could not be used."""

    policy: Policy
    problems: tuple[str, ...] = ()


def read(text: str, last: Last = lambda: None) -> Reading:
    """Return the policy to be in force; Permanent when the text is broken and there is no last one.

    `last` is asked for the one in force before, and only when something is wrong.
    """
    try:
        return _read(text, last)
    except Permanent as broken:
        kept = last()
        if kept is None:
            raise
        return Reading(kept, (str(broken),))


def parse(text: str) -> Policy:
    """Return the policy a text says, every entry of it in order; Permanent names what is not."""
    policy, problems = read(text)
    if problems:
        raise _bad("; ".join(problems))
    return policy


def seeded(tenants: str) -> Policy:
    """Return the policy that is in force until operators write one: of the tenants that a deployment names, in JSON."""
    text = f'{{"tenants": {tenants}}}'
    return parse(text) if table(text)["tenants"] != {} else Policy(version=digest_of([text, {}]))


def table(text: str) -> dict[str, Any]:
    """Return what the text says, as plain values; Permanent when it is blank, oversize, or neither TOML nor JSON."""
    if not text.strip():
        raise _bad("the text is blank")
    if len(text) > MOST_CHARACTERS:
        raise _bad(f"{len(text)} characters are too many, {MOST_CHARACTERS} may be")
    try:
        said = load_object(text) if text.lstrip().startswith("{") else load_toml(text, most=MOST_CHARACTERS)
        json.dumps(said)
    except (Permanent, TypeError, RecursionError) as error:  # TOML has dates, a policy has none
        raise _bad(f"not a policy: {error}") from error
    return said


def _read(text: str, last: Last) -> Reading:
    said = table(text)
    tenants, default = said.pop("tenants", {}), said.pop("default", {})
    if not isinstance(tenants, dict) or not tenants:
        raise _bad("it names no tenant; write a table [tenants.<name>] for each")
    _checked(TenantPolicy, default, "default")
    if "candidates" in said:
        said["candidates"] = _named(said["candidates"])
    derived = sorted({"version", "text"} & said.keys())
    if derived:
        raise _bad(f"{derived[0]}: it is derived from what is written, not written in it")
    whole = _checked(Policy, said, "")
    made, problems = _tenants(tenants, default, last)
    if not made:
        raise _bad("; ".join(problems.values()))
    kept = {name: made[name].model_dump_json() for name in problems if name in made}
    named = {"version": digest_of([text, kept]), "text": text}
    return Reading(whole.model_copy(update={"tenants": made, **named}), tuple(problems.values()))


def _tenants(
    said: Mapping[str, Any], default: Mapping[str, Any], last: Last
) -> tuple[dict[str, TenantPolicy], dict[str, str]]:
    """Return each tenant's policy, and by name what is wrong with those that keep their last one, if they had any."""
    made: dict[str, TenantPolicy] = {}
    problems: dict[str, str] = {}
    for name, entry in said.items():
        try:
            made[_tenant(name)] = _checked(TenantPolicy, _filled(entry, default), f"tenants.{name}")
        except Permanent as broken:
            problems[name] = str(broken)
            before = last()
            if before is not None and name in before.tenants:
                made[name] = before.tenants[name]
    return made, problems


def _tenant(name: str) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError as error:
        raise _bad(f"a tenant is called by a-z, 0-9 and -, not {shown(name)}") from error


def _filled(entry: Any, default: Mapping[str, Any]) -> Any:  # noqa: ANN401  whatever stands in a text
    """Return the entry with what it leaves out taken from the default."""
    return {**default, **entry} if isinstance(entry, dict) else entry


def _named(candidates: Any) -> Any:  # noqa: ANN401  whatever stands in a text
    """Return candidates that say what their table is called, so that nobody has to write it twice."""
    if not isinstance(candidates, dict):
        return candidates
    return {key: {"name": key, **one} if isinstance(one, dict) else one for key, one in candidates.items()}


def _checked(kind: type[Model], said: Any, where: str) -> Model:  # noqa: ANN401  whatever stands in a text
    """Return the model; read as JSON, as that is strict about types and still takes a list for a tuple."""
    try:
        return kind.model_validate_json(json.dumps(said))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        told = [f"{_path(where, one['loc'])}{_said(kind, one)}" for one in found[:_MOST_PROBLEMS]]
        raise _bad("; ".join(told)) from error


def _said(kind: type[BaseModel], problem: ErrorDetails) -> str:
    """Return what is wrong; of a key that is not known, which ones are."""
    if problem["type"] != "extra_forbidden":
        return problem["msg"]
    at: Any = kind
    for part in problem["loc"][:-1]:
        at = at.model_fields[part].annotation if hasattr(at, "model_fields") else get_args(at)[1]  # a mapping's values
    own = {"tenants": None, "default": None} if at is Policy else {}
    return f"no such key; there are {', '.join(name for name in own | at.model_fields if name not in _DERIVED)}"


def _path(where: str, inside: tuple[int | str, ...]) -> str:
    path = ".".join(filter(None, (where, *map(str, inside))))
    return f"{path}: " if path else ""


def _bad(message: str) -> Permanent:
    return Permanent(message, code="bad-policy")
