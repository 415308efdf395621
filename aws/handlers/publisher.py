"""What goes on by itself, once a minute: events that a crash left unsent, parked tasks, leases that nobody needs."""

from __future__ import annotations

from aws.adapters.telemetry import count, note
from aws.verdicts import pipeline
from aws.wire import SOURCE, Json
from aws.wiring import ports
from shared.app.commit import relay
from shared.app.parking import resume_due, sweep

_BATCH = 500


def publish(_event: Json) -> Json:
    """Publish what was committed and never sent, let parked tasks go on, end leases; say how many of each."""
    mine = ports()
    done = {
        "EventsRelayed": relay(mine, limit=_BATCH),
        "LeasesEnded": sweep(mine, source=SOURCE, limit=_BATCH),
        "TasksResumed": resume_due(mine, source=SOURCE),  # last: of very many it may not see the end in its time
    }
    for name, times in done.items():
        if times:
            count(name, times)
            note(name, events=times)
    return done


handler = pipeline(publish)
