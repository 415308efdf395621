"""The command line: `agentfabric VERB`. Each verb goes through the same handlers as the clouds' clients do."""

from local.cli.main import main

__all__ = ["main"]
