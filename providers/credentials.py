"""Secrets by the names a policy gives them; the values come from the environment and go into a header.

Whoever writes a policy also says where a candidate is: what identifies this process to its own cloud is nobody's
credential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.routing import Candidate

OWN = frozenset(
    {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "IDENTITY_HEADER", "MSI_SECRET", "WEBSITE_AUTH_ENCRYPTION_KEY"),
        *("APPROVAL_LINK_KEYS", "OTEL_EXPORTER_OTLP_HEADERS", "WEBSITE_AUTH_SIGNING_KEY"),
    }
)


def secret(candidate: Candidate, secrets: Mapping[str, str]) -> str:
    """Return the candidate's secret, nothing where it names none; Permanent when it is not there."""
    if not candidate.credential:
        return ""
    if candidate.credential in OWN:
        what = f"{candidate.credential} is this process's own, and no candidate's"
        raise Permanent(f"{candidate.name}: {what}", code="provider-credentials")
    found = secrets.get(candidate.credential, "")
    if not found or not found.isascii() or not found.isprintable():
        what = f"{candidate.name} needs {candidate.credential} in the environment"
        raise Permanent(what, code="provider-credentials")
    return found
