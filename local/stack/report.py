"""What `agentfabric up` prints when everything runs: where each part is, and commands to try.

May know parts by their name and ports; must not start or ask anything.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.stack.part import Part
from local.stack.state import State

_ENVIRONMENT = "env"
_SAMPLE = "tests/samples/event.json"
_CLIENT = """
import asyncio, sys
from azure.durable_functions import DurableOrchestrationClient
from azure.durable_functions.models.utils.http_utils import _close_session
async def main():
    for one in await DurableOrchestrationClient(sys.argv[1]).get_status_all():
        print(one.instance_id, one.runtime_status)
    await _close_session()
asyncio.run(main())
"""


def endpoints(parts: Sequence[Part], state: State) -> list[tuple[str, str, str]]:
    """Return name, address and purpose of the parts that run."""
    rows = []
    for part in parts:
        if state.lives(part.name):
            ports = state.entries[part.name].ports
            where = " ".join(f"{name}=127.0.0.1:{port}" for name, port in ports.items())
            only = next(iter(ports.values()), None)
            rows.append((part.name, f"http://127.0.0.1:{only}" if [*ports] == ["http"] else where, part.about))
    return rows


def write_environment(folder: Path, facts: Mapping[str, str]) -> Path:
    """Write the facts as a file for `.`; only its owner may read it, as it holds keys of emulators."""
    path = folder / _ENVIRONMENT
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(facts.items())]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.writelines(lines)
    return path


def examples(facts: Mapping[str, str], environment: Path) -> list[tuple[str, str]]:
    """Return what can be tried with what runs: a sentence and its command, the first one being for the others."""
    found = [("the variables that the commands below use", f". {shlex.quote(os.path.relpath(environment))}")]
    if "API_URL" in facts:
        bearer = '"Authorization: Bearer $(curl -s $ISSUER_URL/token)"'
        found += [
            ("the HTTP API on the local AWS", f'curl -s -H {bearer} "$API_URL/tasks"'),
            ("its tables, with any AWS client", 'aws --endpoint-url "$AWS_ENDPOINT_URL" dynamodb list-tables'),
        ]
    if "FUNCTIONS_URL" in facts:
        binding = '"$(curl -s $FUNCTIONS_URL/admin/durable/client)"'
        asking = f".venv/bin/python -c {shlex.quote(_CLIENT)} {binding}"
        found += [("durable instances, with the SDK's own client", asking)]
    if {"RECORD_URL", "QUERY_URL"} <= facts.keys():
        found += [
            ("an event published by hand", _publishing()),
            ("what the record holds of it", _asking()),
        ]
    return found


def _publishing() -> str:
    """Return the command; the sample is an entity's third event, and published by hand it is to be the first."""
    first = 's/"sequence":3/"sequence":1/'
    data = f"$(sed '{first}' {_SAMPLE} | base64 | tr -d '\\n')"
    message = f'{{\\"messages\\":[{{\\"orderingKey\\":\\"by-hand\\",\\"data\\":\\"{data}\\"}}]}}'
    where = '"$PUBSUB_EMULATOR_HOST/v1/$AGENTFABRIC_TOPIC:publish"'
    return f'curl -s -H "Content-Type: application/json" -d "{message}" {where}'


def _asking() -> str:
    return 'curl -s -H "X-Agentfabric-Tenant: acme" "$QUERY_URL/events?task=task-42"'
