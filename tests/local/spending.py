"""One replica in a process of its own: spends at random in one file's ledger until it has done enough or is killed.

Writes a line for every hundred operations, and how they ended as its last. Knows nothing of tests.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

sys.path[:] = [str(Path(__file__).resolve().parents[2]), *sys.path]  # started as a script: its own folder comes first

from local.sqlite.database import Database  # noqa: E402  the line above says where it is
from local.sqlite.ledger import SqliteLedger  # noqa: E402
from tests.contracts.ledger_storm import Replica  # noqa: E402

_AT_ONCE = 100


def spend(file: str, seed: str, operations: str, *tenants: str) -> None:
    """Spend, telling of it as it goes."""
    replica = Replica(SqliteLedger(Database(Path(file))), tenants, seed)
    counts: Counter[str] = Counter()
    for _ in range(0, int(operations), _AT_ONCE):
        counts = replica.spend(_AT_ONCE)
        sys.stdout.write("going on\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    spend(*sys.argv[1:])
