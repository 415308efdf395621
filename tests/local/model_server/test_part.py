from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.model_server.__main__ import _behaviour
from local.model_server.exchange import Call
from local.model_server.scenario import Phase
from local.stack import processes, state
from local.stack.parts import all_parts
from local.stack.supervisor import Supervisor
from shared.errors import Permanent
from tests.local.model_server.asking import OPENAI
from tests.local.model_server.conftest import Send, of

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_put_last_comes_before_the_command_line(tmp_path: Path) -> None:
    """A server starts with the scenario it was given last, else with the command line's file, else with none."""
    given, kept = tmp_path / "given.toml", tmp_path / "kept.json"
    given.write_text("seed = 1")
    assert [one.seed for one in (_behaviour(None, kept), _behaviour(given, kept))] == [0, 1]
    kept.write_text('{"seed": 2}')
    assert _behaviour(given, kept).seed == 2


def test_a_file_that_is_no_scenario_is_named(tmp_path: Path) -> None:
    """A file that is missing, or no scenario, is refused by a sentence with its name."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("seeds = 1")
    for file in (wrong, tmp_path / "missing.toml"):
        with pytest.raises(Permanent, match=file.name):
            _behaviour(file, None)


def test_the_part_comes_back_with_its_scenario(tmp_path: Path, send: Send) -> None:
    """The part is found, comes up, tells where it is, and has the scenario it was given after being killed."""
    folder = tmp_path / "stack"
    supervisor = Supervisor(folder, all_parts())
    try:
        assert set(supervisor.up(["models"]).running) == {"models"}
        address = state.facts(folder)["MODELS_URL"]
        body = of(Phase(kind="503")).model_dump_json(exclude_unset=True).encode()
        assert send(address, OPENAI.ask()).status == 200
        assert send(address, Call("PUT", "/_models/scenario", body=body)).status == 204
        supervisor.restart("models", kill=True)
        assert send(state.facts(folder)["MODELS_URL"], OPENAI.ask()).status == 503
    finally:
        supervisor.down()
    assert processes.marked(state.load(folder).mark) == []
