"""The policy on a laptop: `policy.toml` in the state folder, else the packaged one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from local.lock import exclusive
from shared.app import policy as policies
from shared.core.policy import Policy
from shared.core.policy_text import parse
from shared.errors import Conflict, Transient

if TYPE_CHECKING:
    from shared.ports import Settings

FILE = "policy.toml"


def packaged() -> str:
    """Return the text of the policy that comes with the fabric."""
    return files("local").joinpath(FILE).read_text(encoding="utf-8")


def policy_of(
    home: Path | None, settings: Settings, now: Callable[[], datetime], tell: Callable[[str], None]
) -> policies.Policies:
    """Return the policy of the fabric whose state is in `home`; without one it is the packaged one for good."""
    return policies.Policies(
        lambda: text_in(home) if home else None,
        _packaged_policy,
        now,
        tell,
        good=lambda: policies.written(settings, policies.GOOD),
        keep=lambda policy: policies.keep(settings, policy),
    )


def text_in(home: Path) -> str | None:
    """Return what operators wrote, None when they never did."""
    try:
        return (home / FILE).read_text(encoding="utf-8", errors="surrogateescape")  # what is no text is no policy
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Transient(f"the policy {home / FILE} cannot be read: {error}") from error


def put(home: Path, text: str, settings: Settings, *, instead_of: str | None = None) -> Policy:
    """Put a policy in force, whole or not at all; Permanent unless all of it is in order.

    Conflict when what is written by now is not `instead_of`, what it is to replace.
    """
    policy = parse(text)
    policies.keep(settings, policy)
    with exclusive(home / f"{FILE}.lock") as mine:
        there = text_in(home)
        if not mine or instead_of not in {None, packaged() if there is None else there}:
            raise Conflict("another policy was written meanwhile")
        fresh = home / f".{FILE}.{os.getpid()}"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(home / FILE)
    return policy


def _packaged_policy() -> Policy:
    return parse(packaged())
