"""`python -m local.model_server PORT [--scenario FILE] [--keep FILE] [--virtual-clock]`: serve until stopped.

A scenario is TOML or JSON. With --keep, one that is put at run time is there again after a restart.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from local.model_server import scenario, server
from local.model_server.clock import Clock, RealClock, VirtualClock
from local.model_server.service import ModelService
from shared.errors import Permanent


def main() -> None:
    """Serve until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asked = _asked()
    clock: Clock = VirtualClock() if asked.virtual_clock else RealClock()
    try:
        behaviour = _behaviour(asked.scenario, asked.keep)
    except Permanent as error:
        sys.exit(str(error))
    service = ModelService(behaviour, now=clock.now())
    server.run(server.Server(service, clock, asked.keep), asked.port)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.model_server", description="model providers on 127.0.0.1")
    parser.add_argument("port", type=int)
    parser.add_argument("--scenario", type=Path, help="how the deployments behave: .toml or .json")
    parser.add_argument("--keep", type=Path, help="where a scenario put at run time is kept")
    parser.add_argument("--virtual-clock", action="store_true", help="time stands still until POST /_models/clock")
    return parser.parse_args()


def _behaviour(given: Path | None, kept: Path | None) -> scenario.Scenario:
    """Return what was put last, else what the command line names, else deployments without a fault."""
    file = kept if kept is not None and kept.exists() else given
    if file is None:
        return scenario.Scenario()
    try:
        return scenario.read(file.read_text(encoding="utf-8"), toml=file.suffix == ".toml")
    except (OSError, Permanent) as error:
        raise Permanent(f"{file}: {error}", code="bad-scenario") from error


if __name__ == "__main__":
    main()
