"""The bridges: AWS's hand-over queues to Azure's queue and to Pub/Sub."""

from __future__ import annotations

import sys

from local.stack.part import Command, Part, Room


def _command(room: Room) -> Command:
    return Command((sys.executable, "-m", "local.stack.bridge", str(room.folder)))


PART = Part(
    name="bridge",
    about="carries AWS's hand-over queues to Azure's queue and to Pub/Sub",
    needs=("deploy", "azurite", "record"),  # what is published before there is a subscription is lost
    command=_command,
)
