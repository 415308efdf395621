from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local.stage import INVOICE, MIT
from tests.local.typed import DONE, FAILED

if TYPE_CHECKING:
    from tests.local.typed import Shell

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
SUMMARY = "Total amount due"


@pytest.mark.parametrize("columns", [80, 140])
def test_a_list_says_what_is_to_be_decided(shell: Shell, columns: int) -> None:
    """`approvals` shows of each document its class and score, why, until when, who, the summary and a short digest."""
    (bill,) = shell.run(bill=INVOICE).lines
    (pending,) = shell.type("approvals", "--json").lines
    shell.is_wide(columns)
    out = shell.type("approvals").out
    row, why, asked = out.splitlines()[1:4]
    assert row.split() == [bill["approval"][:8], "documents/bill.txt", "invoice", "0.85", pending["digest"][:8]]
    assert why.strip() == "invoice needs an approval."
    assert asked.strip() == f"until {pending['deadline'][:16].replace('T', ' ')} UTC: reviewer"
    assert SUMMARY in out
    assert f"\n  agentfabric approve {bill['approval'][:8]} --digest {pending['digest'][:8]}\n" in out
    assert max(map(len, out.splitlines())) <= columns


def test_a_long_summary_takes_two_lines_of_the_list(shell: Shell) -> None:
    """A summary longer than two lines ends in an ellipsis; `approvals ID` has all of it."""
    long = " ".join(f"Item {number}: the amount to pay for herons and their food." for number in range(40))
    shell.run(bill=f"{INVOICE} {long}")
    (pending,) = shell.type("approvals", "--json").lines
    summary = pending["shown"]["summary"]
    shell.is_wide(40)
    listed = shell.type("approvals").out.splitlines()
    assert len([line for line in listed if line.strip() and line.strip("… ") in summary]) == 2
    assert "".join(summary.split())[-20:] in "".join(shell.type("approvals", pending["id"]).out.split())


def test_one_approval_is_shown_whole(shell: Shell) -> None:
    """`approvals ID` shows summary, evidence, reason, votes and the whole digest, and how to decide exactly that."""
    bill, _ = shell.run(bill=INVOICE, other=f"{INVOICE} again").lines
    (pending,) = shell.type("approvals", bill["approval"][:8], "--json").lines
    told = shell.type("approvals", bill["approval"][:8]).out
    for said in (
        bill["approval"],
        bill["entity"],
        pending["digest"],
        bill["summary"],
        bill["task"],
        "needs an approval",
        "none yet",
    ):
        assert said in told
    assert pending["classified"]["evidence"][0]["what"] in told
    assert f"approve {bill['approval'][:8]} --digest {pending['digest'][:8]}" in told
    assert "again" not in told


def test_what_was_seen_is_decided(shell: Shell) -> None:
    """With the digest of what is there, short or whole, a decision is taken without more words."""
    bill, other = shell.run(bill=INVOICE, other=f"{INVOICE} again").lines
    digests = {one["id"]: one["digest"] for one in shell.type("approvals", "--json").lines}
    short = shell.type("approve", bill["approval"], "--digest", digests[bill["approval"]][:8].upper())
    whole = shell.type("reject", other["approval"], "--digest", digests[other["approval"]])
    assert (short.code, short.out, short.err) == (DONE, f"{bill['approval'][:8]}  bill.txt: approved\n", "")
    assert (whole.code, whole.out) == (DONE, f"{other['approval'][:8]}  other.txt: rejected\n")
    assert [line["verdict"] for line in shell.run().lines] == ["approved", "rejected"]


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_what_was_not_seen_is_not_decided(shell: Shell, verb: str) -> None:
    """With the digest of anything else nothing is decided, and the person is told where to look again."""
    bill, other = shell.run(bill=INVOICE, other=f"{INVOICE} again").lines
    seen = shell.type("approvals", other["approval"], "--json").lines[0]["digest"]
    said = shell.type(verb, bill["approval"], "--digest", seen[:8])
    assert (said.code, said.out) == (FAILED, "")
    assert f"not {seen[:8]}; look again: `agentfabric approvals {bill['approval'][:8]}`" in said.err
    assert {line["status"] for line in shell.run().lines} == {"waiting"}


def test_a_decision_without_a_digest_says_what_it_is_about(shell: Shell) -> None:
    """Deciding one approval by its id alone says first, in a line on stderr, what is being decided."""
    (bill,) = shell.run(bill=INVOICE).lines
    (pending,) = shell.type("approvals", "--json").lines
    said = shell.type("reject", bill["approval"][:8])
    first = said.err.splitlines()[0]
    assert first == (
        f"to be rejected: documents/bill.txt is invoice (0.85), digest {pending['digest'][:8]};"
        " invoice needs an approval."
    )


def test_an_approval_named_twice_is_decided_once(shell: Shell) -> None:
    """An id that a label means, too, is one decision."""
    (bill, _) = shell.run(bill=INVOICE, good=MIT).lines
    said = shell.type("approve", bill["approval"], bill["approval"][:8], "--label", "invoice")
    assert (said.code, len(said.out.splitlines())) == (DONE, 1)


def test_nothing_of_a_whole_approval_is_cut_off(shell: Shell) -> None:
    """On a narrow screen the parts of an approval are folded, never shortened."""
    (bill,) = shell.run(bill=INVOICE).lines
    shell.is_wide(40)
    told = "".join(shell.type("approvals", bill["approval"]).out.split())
    assert "…" not in told
    assert "".join(bill["entity"].split()) in told.replace("entity", "")


def test_a_link_needs_somebody_who_serves_it(shell: Shell) -> None:
    """`approvals ID --link` in this process says that nothing would answer it, and how it would be."""
    (bill,) = shell.run(bill=INVOICE).lines
    told = shell.type("approvals", bill["approval"][:8], "--link")
    assert (told.code, "--stack emulators" in told.err) == (2, True)
