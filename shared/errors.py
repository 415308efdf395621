"""Every failure brings its verdict: try again later (Transient) or never again (Permanent).

Knows nothing but Python. Each cloud turns a verdict into its platform's behaviour in its `wire`.
"""

from __future__ import annotations


class FabricError(Exception):
    """A failure the fabric understands; `str(error)` is a sentence a person can act on."""


class Transient(FabricError):  # noqa: N818  a verdict, named as one
    """Worth trying again: throttling, a lost race, a store that is down.

    `retry_after` is in seconds; nobody should try earlier.
    """

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(Transient):
    """Somebody committed first; load again and decide again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=0.0)


class Throttled(Transient):
    """Too fast for whoever is asked: no failure, and no attempt is used up. `code` names the limit.

    `level` is its figure and what of it is there, where it has some.
    """

    def __init__(
        self, message: str, *, retry_after: float, code: str = "throttled", level: tuple[float, float] | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code
        self.level = level


class Permanent(FabricError):  # noqa: N818  a verdict, named as one
    """Never worth repeating as it is.

    `where` points at the field or record at fault (a dotted path), `code` is a short, stable,
    machine-readable name such as `unknown-event-type`.
    """

    def __init__(self, message: str, *, code: str = "invalid", where: str = "") -> None:
        super().__init__(message if not where else f"{where}: {message}")
        self.code = code
        self.where = where


class NotFound(Permanent):
    """The thing asked for does not exist (for this tenant)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="not-found")


class Forbidden(Permanent):
    """The caller may not do this."""

    def __init__(self, message: str, *, code: str = "forbidden") -> None:
        super().__init__(message, code=code)


class Duplicate(FabricError):  # noqa: N818  a verdict, named as one
    """The message was handled before; its effect stands."""
