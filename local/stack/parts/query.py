"""Questions to the record: gcp/main.py's `query` behind functions-framework."""

from __future__ import annotations

from collections.abc import Mapping

from local.stack import serving
from local.stack.part import Command, Part, Room


def _command(room: Room) -> Command:
    return serving.serve("query", room)


def _facts(room: Room) -> Mapping[str, str]:
    return {"QUERY_URL": room.address}


PART = Part(
    name="query",
    about="questions to the record: /events /bill /parked /verify",
    requires=(serving.FRAMEWORK,),
    needs=("spanner",),
    ports=("http",),
    command=_command,
    ready=serving.answers,
    prepare=_facts,
)
