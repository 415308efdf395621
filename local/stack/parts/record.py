"""The recorder: gcp/main.py's `record` behind functions-framework, fed by Pub/Sub's ordered push."""

from __future__ import annotations

from collections.abc import Mapping

from local.stack import serving
from local.stack.part import Command, Part, Room
from local.stack.parts.pubsub import subscribe


def _command(room: Room) -> Command:
    return serving.serve("record", room)


def _prepare(room: Room) -> Mapping[str, str]:
    subscribe(int(room.facts["PUBSUB_EMULATOR_HOST"].rpartition(":")[2]), f"{room.address}/")
    return {"RECORD_URL": room.address}


PART = Part(
    name="record",
    about="the recorder, fed by Pub/Sub's ordered push, writing to Spanner",
    requires=(serving.FRAMEWORK,),
    needs=("spanner", "pubsub"),
    ports=("http",),
    command=_command,
    ready=serving.answers,
    prepare=_prepare,
)
