"""The hub's tables, all prefixed `durable_`, so that they live in one SQLite file with everything else.

Times are microseconds since 1970. May know SQL; must not run any.
"""

from __future__ import annotations

STATEMENTS = (
    """
    CREATE TABLE IF NOT EXISTS durable_instances (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT, status TEXT NOT NULL,
        generation INTEGER NOT NULL, revision INTEGER NOT NULL, length INTEGER NOT NULL,
        input TEXT, output TEXT, custom_status TEXT,
        parent TEXT, parent_generation INTEGER, parent_task INTEGER,
        created INTEGER NOT NULL, updated INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS durable_children ON durable_instances (parent) WHERE parent IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS durable_instances_by_time ON durable_instances (created, id)",
    """
    CREATE TABLE IF NOT EXISTS durable_history (
        instance TEXT NOT NULL, position INTEGER NOT NULL, type INTEGER NOT NULL, body TEXT NOT NULL,
        task INTEGER, name TEXT, action INTEGER, attempt INTEGER, remaining INTEGER,
        PRIMARY KEY (instance, position)
    ) WITHOUT ROWID
    """,
    # parked = 1: not deliverable now (an event nobody waits for yet, or anything for a suspended instance)
    """
    CREATE TABLE IF NOT EXISTS durable_messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, type INTEGER NOT NULL,
        body TEXT NOT NULL, due INTEGER NOT NULL, generation INTEGER, task INTEGER, name TEXT,
        parked INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX IF NOT EXISTS durable_messages_due ON durable_messages (parked, due, id)",
    "CREATE INDEX IF NOT EXISTS durable_messages_to ON durable_messages (instance, parked, due, id)",
    # claimed = 1: being run by somebody; `recover` takes the claims of a dead process back
    """
    CREATE TABLE IF NOT EXISTS durable_activities (
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance TEXT NOT NULL, generation INTEGER NOT NULL,
        task INTEGER NOT NULL, name TEXT NOT NULL, input TEXT, due INTEGER NOT NULL,
        claimed INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX IF NOT EXISTS durable_activities_due ON durable_activities (claimed, due, id)",
    "CREATE INDEX IF NOT EXISTS durable_activities_of ON durable_activities (instance)",
)
