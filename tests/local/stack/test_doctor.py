from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from local.cli.verbs import app
from local.stack import tools
from local.stack.doctor import examine
from local.stack.parts import all_parts
from tests.local.stack.trivial import MISSING, web

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_is_missing_is_found_once_for_all_who_want_it() -> None:
    """A requirement of two parts is one finding that names both, with the command that installs it."""
    findings = {one.name: one for one in examine([web("a", requires=(MISSING,)), web("b", requires=(MISSING,))])}
    lacking = findings["unobtainium"]
    assert (lacking.parts, lacking.found, lacking.install) == (("a", "b"), None, "dig deeper")
    assert findings["python"].version


def test_doctor_says_it_line_by_line_and_by_exit_code() -> None:
    """As JSON there is a line for each requirement, and the exit code says whether all are there."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {"python", "ministack", "azurite", "cloud-spanner-emulator"} <= {line["name"] for line in lines}
    assert result.exit_code == (0 if all(line["installed"] for line in lines) else 1)
    assert all(line["install"] for line in lines if not line["installed"])


def test_doctor_fails_when_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With something missing the exit code is 1 and the table shows what to type."""
    monkeypatch.setattr("local.stack.parts.all_parts", lambda: [web("a", requires=(MISSING,))])
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "MISSING  dig deeper" in result.stdout


def test_a_command_tells_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command on the PATH is found with the version that it says on whichever stream."""
    program = tmp_path / "gadget"
    program.write_text('#!/bin/sh\necho "gadget version 17.0.2" >&2\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = tools.command("gadget", "install gadget", "--version").find()
    assert found is not None
    assert (found.path, found.version) == (program, "17.0.2")


def test_every_part_stands_behind_what_it_needs() -> None:
    """The parts come in an order in which they can be started."""
    seen: set[str] = set()
    for part in all_parts():
        assert set(part.needs) <= seen
        seen.add(part.name)
