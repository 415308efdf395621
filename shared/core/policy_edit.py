"""Changing one tenant's entry in a policy's TOML and nothing else of it: its comments, order and blanks stay.

A changed text is read back before it is returned: unless it says exactly what was asked for, it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from shared.core.policy import TenantPolicy
from shared.core.policy_text import parse, table
from shared.errors import Permanent

_HEADER = re.compile(r"\s*\[")
_KEY = re.compile(r"\s*([A-Za-z_]+)\s*=")
Value = int | float | bool | str | list[str]


def values(said: Mapping[str, str]) -> dict[str, Value]:
    """Return what was typed as the values of an entry; Permanent names the fields there are."""
    unknown = sorted(set(said) - set(TenantPolicy.model_fields))
    if unknown:
        known = ", ".join(TenantPolicy.model_fields)
        raise Permanent(f"a tenant has no {', '.join(unknown)}; it has {known}", code="bad-policy")
    return {name: _value(name, text.strip()) for name, text in said.items()}


def _value(name: str, text: str) -> Value:
    kind = TenantPolicy.model_fields[name].annotation
    if kind is bool and text in {"true", "false"}:
        return text == "true"
    if kind is str:
        return text
    if kind is int and re.fullmatch(r"-?[0-9][0-9_]{0,20}", text):
        return int(text)
    if kind is float and re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text):
        return float(text)
    if kind not in {bool, int, float}:
        return [one.strip() for one in text.split(",") if one.strip()]
    number = "a whole number" if kind is int else "a number such as 0.95"
    wanted = "true or false" if kind is bool else number
    raise Permanent(f"{name} is {wanted}, not {text!r}", code="bad-policy", where=name)


def edit(text: str, tenant: str, changes: Mapping[str, Value]) -> str:
    """Return the policy's text with the tenant's entry changed, or a new one at its end.

    Permanent when the result is out of order, or the text is written in a way that only a person can change.
    """
    before = table(text)
    wanted = deepcopy(before)
    entry = wanted.setdefault("tenants", {}).setdefault(tenant, {})
    if not isinstance(entry, dict):
        raise _by_hand(tenant)
    entry |= changes
    lines = text.splitlines()
    start = _start(lines, tenant)
    if start is None:
        lines += ["", f"[tenants.{tenant}]"]
        start = len(lines) - 1
    made = "\n".join(_edited(lines, start + 1, changes)) + "\n"
    if _said(made) != wanted:
        raise _by_hand(tenant)
    parse(made)
    return made


def _start(lines: list[str], tenant: str) -> int | None:
    header = re.compile(rf'\s*\[\s*tenants\s*\.\s*("?){re.escape(tenant)}\1\s*\]\s*(#.*)?')
    return next((number for number, line in enumerate(lines) if header.fullmatch(line)), None)


def _edited(lines: list[str], first: int, changes: Mapping[str, Value]) -> list[str]:
    """Return the lines with those of the table that begins before `first` changed, and new keys at its end."""
    end = next((number for number in range(first, len(lines)) if _HEADER.match(lines[number])), len(lines))
    left = dict(changes)
    body = [_line(line, left) for line in lines[first:end]]
    used = len(body)
    while used and not body[used - 1].partition("#")[0].strip():  # what comes before the next header belongs to that
        used -= 1
    added = [f"{name} = {_toml(value)}" for name, value in left.items()]
    return [*lines[:first], *body[:used], *added, *body[used:], *lines[end:]]


def _line(line: str, left: dict[str, Value]) -> str:
    found = _KEY.match(line)
    if found is None or found[1] not in left:
        return line
    comment = re.search(r"\s+#[^\"']*$", line)
    return f"{found[0]} {_toml(left.pop(found[1]))}{comment[0] if comment else ''}"


def _toml(value: Value) -> str:
    """Return a value as TOML writes it; JSON's strings, numbers, booleans and lists of strings are TOML's, too."""
    return json.dumps(value, ensure_ascii=False)


def _said(text: str) -> dict[str, Any] | None:
    try:
        return table(text)
    except Permanent:
        return None


def _by_hand(tenant: str) -> Permanent:
    return Permanent(
        f"the entry of {tenant} is written in a way that only a person can change; edit the file, then"
        " `agentfabric policy check FILE`",
        code="bad-policy",
    )


def toml_of(text: str) -> str:
    """Return a policy that says no more than tenants' entries, such as a JSON one, in TOML."""
    tenants = table(text)["tenants"]
    entries = [
        "\n".join([f"[tenants.{name}]", *(f"{field} = {_toml(value)}" for field, value in entry.items())])
        for name, entry in tenants.items()
    ]
    return "\n\n".join(entries) + "\n"
