"""Secrets by the names a policy gives them; the values come from the environment and go into a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.routing import Candidate


def secret(candidate: Candidate, secrets: Mapping[str, str]) -> str:
    """Return the candidate's secret, nothing where it names none; Permanent when it is not there."""
    if not candidate.credential:
        return ""
    found = secrets.get(candidate.credential, "")
    if not found or not found.isascii() or not found.isprintable():
        what = f"{candidate.name} needs {candidate.credential} in the environment"
        raise Permanent(what, code="provider-credentials")
    return found
