"""What is asked for wrongly is refused with a sentence, before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.cli.shared import FAILED, USAGE

if TYPE_CHECKING:
    from tests.local.typed import Shell


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("approve", "--all", "--label", "MIT"), USAGE, "leave it out, or the ids and --label"),
        (("reject", "718f", "--all"), USAGE, "leave it out, or the ids and --label"),
        (("costs", "--during", "2026-13"), USAGE, "no day and no month"),
        (("costs", "--during", "2026-02-30"), USAGE, "no day and no month"),
        (("costs", "--during", "2026"), USAGE, "no day and no month"),
        (("storm", "--only", "skew", "--without", "skew"), FAILED, "no kind of fault is left"),
    ],
)
def test_what_makes_no_sense_is_refused(shell: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    """The sentence says what is wrong, and nothing else is printed."""
    answer = shell.type(*words)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_a_broken_policy_is_shown_and_called_broken(shell: Shell) -> None:
    """What somebody wrote by hand is printed, and the exit code says that it is not in force."""
    assert shell.type("tenants", "set", "local", "max_runs=5").code == 0
    (shell.folder / ".agentfabric" / "policy.toml").write_text("[tenants.local\n", encoding="utf-8")
    answer = shell.type("policy")
    assert (answer.code, answer.out) == (USAGE, "[tenants.local\n")
    assert "the policy that is written cannot be used" in answer.err


@pytest.mark.parametrize("verb", ["tenants", "policy", "trail", "tasks"])
def test_a_damaged_state_is_told_of(shell: Shell, verb: str) -> None:
    """A file that is no database ends in a sentence, whichever verb meets it."""
    (shell.folder / ".agentfabric").mkdir(parents=True, exist_ok=True)
    (shell.folder / ".agentfabric" / "fabric.db").write_bytes(b"junk" * 100)
    answer = shell.type(verb)
    assert answer.code == FAILED
    assert "cannot be used" in answer.err
