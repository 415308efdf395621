"""A Spanner database with the project's schema, on the emulator."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Never
from uuid import uuid4

import pytest
from google.api_core import exceptions

from gcp.adapters.spanner import SpannerRecords
from tests.contracts.fakes import ports_with
from tests.contracts.records_contract import AT
from tests.gcp.emulators import environment, spanner_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.cloud.spanner_v1.database import Database
    from google.cloud.spanner_v1.transaction import Transaction

    from shared.ports import Ports

RETRY_DELAY = 0.02  # the emulator names no delay of its own
SCHEMA = Path(__file__).resolve().parents[2] / "gcp" / "schema.sql"


def statements() -> list[str]:
    """Return the schema's statements, without the comments."""
    lines = (line.partition("--")[0] for line in SCHEMA.read_text(encoding="utf-8").splitlines())
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


class SpannerStore:
    """One database; its clients may be shared between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def records(self) -> SpannerRecords:
        """Return the port."""
        return SpannerRecords(self.database, retry_delay=RETRY_DELAY)

    def ports(self) -> Ports:
        """Return ports around the records."""
        return ports_with(self.records(), lambda: AT)

    def tamper(self, tenant: str, entity: str, sequence: int) -> None:
        """Change the type of a recorded event behind the port's back."""
        self._execute("UPDATE Audit SET Type = 'x'", tenant, entity, sequence)

    def forget(self, tenant: str, entity: str, sequence: int) -> None:
        """Delete the row of a recorded event behind the port's back."""
        self._execute("DELETE FROM Audit", tenant, entity, sequence)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let Spanner have no more to give, as far as its SDK sees; the emulator always has."""

        def refuse(*_: object, **__: object) -> Never:
            raise exceptions.ResourceExhausted("no more sessions")

        with pytest.MonkeyPatch.context() as patch:
            for name in ("begin_transaction", "commit", "execute_streaming_sql", "streaming_read"):
                patch.setattr(self.database.spanner_api, name, refuse)
            yield

    def _execute(self, words: str, tenant: str, entity: str, sequence: int) -> None:
        statement = f"{words} WHERE Tenant = @tenant AND Entity = @entity AND Sequence = @sequence"
        values = {"tenant": tenant, "entity": entity, "sequence": sequence}

        def change(transaction: Transaction) -> int:
            changed: int = transaction.execute_update(statement, params=values)
            return changed

        assert self.database.run_in_transaction(change) == 1


@contextmanager
def spanner_store() -> Iterator[tuple[SpannerStore, Mapping[str, str]]]:
    """Yield a store on a fresh emulator, and the variables that lead another process to it."""
    with spanner_settings() as settings, environment(settings):
        from google.cloud.spanner_v1 import Client  # noqa: PLC0415  heavy, and for these tests alone

        client = Client("local")
        configuration = f"{client.project_name}/instanceConfigs/emulator-config"
        instance = client.instance(f"i-{uuid4().hex[:8]}", configuration_name=configuration)
        instance.create().result(timeout=30)
        database = instance.database("records", ddl_statements=statements())
        database.create().result(timeout=30)
        yield SpannerStore(database), {**settings, "AGENTFABRIC_SPANNER": database.name}
