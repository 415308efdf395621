"""The command line: `agentfabric VERB`. Each verb goes through the same handlers as the clouds' clients do.

Knows only how a person stops it: whatever it needs is imported where Ctrl-C is already listened to.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_INTERRUPTED = 130
_STOPPED = "\nstopped; nothing is lost. The same command goes on, and so does `agentfabric resume`.\n"


def main() -> None:
    """Run a verb. Exit codes: 0 done, 1 something failed, 2 wrong usage, 3 a human is waited for, 130 interrupted."""
    try:
        from local.cli.verbs import main as verbs  # noqa: PLC0415

        verbs()
    except KeyboardInterrupt:
        sys.stderr.write(_STOPPED)
        sys.exit(_INTERRUPTED)
