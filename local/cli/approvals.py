"""`approvals`, `approve` and `reject`: the approver's verbs, through the review's endpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.shared import FAILED, HOME, USAGE, Home, Json, Person, Stop, accepted, opened, print_json

if TYPE_CHECKING:
    from local.engine import Engine

_PAGE = 500
_CONFLICT = 409
Ids = Annotated[list[str] | None, typer.Argument(help="Approvals, by id or by its first characters.")]
Everything = Annotated[bool, typer.Option("--all", help="All that wait.")]
Label = Annotated[str, typer.Option(help="All that wait and were classified as this.")]
Role = Annotated[list[str] | None, typer.Option(help="A role you have; may be repeated.")]
Comment = Annotated[str, typer.Option(help="Why you decide so.")]


def approvals(person: Person, role: Role = None, home: Home = HOME, *, as_json: Json = False) -> None:
    """List the decisions that wait for a human."""
    from local.report import print_approvals  # noqa: PLC0415

    with opened(home) as engine:
        pending = _pending(engine, person, role)
    if as_json:
        for approval in pending:
            print_json(approval)
    else:
        print_approvals(pending)


def approve(
    person: Person,
    ids: Ids = None,
    everything: Everything = False,
    label: Label = "",
    role: Role = None,
    comment: Comment = "",
    home: Home = HOME,
) -> None:
    """Approve what waits, and let the review go on."""
    _decide("approved", person, ids or [], everything, label, role, comment, home)


def reject(
    person: Person,
    ids: Ids = None,
    everything: Everything = False,
    label: Label = "",
    role: Role = None,
    comment: Comment = "",
    home: Home = HOME,
) -> None:
    """Reject what waits, and let the review go on."""
    _decide("rejected", person, ids or [], everything, label, role, comment, home)


def _decide(
    verdict: str,
    person: str,
    ids: list[str],
    everything: bool,
    label: str,
    role: list[str] | None,
    comment: str,
    home: Path,
) -> None:
    if not (ids or everything or label):
        raise Stop("say which: ids, --label, or --all", USAGE)
    problems = 0
    with opened(home) as engine:
        chosen = _chosen(_pending(engine, person, role), ids, everything=everything, label=label)
        for approval in chosen:
            body = json.dumps({"verdict": verdict, "digest": approval["digest"], "comment": comment})
            path = f"/api/approvals/{approval['id']}/decision"
            status, answer = engine.azure.call(
                "POST", path, person=person, roles=role or ["reviewer"], body=body
            )
            problem = answer.get("detail") if status >= FAILED * 400 else None
            problems += problem is not None
            typer.echo(f"{approval['id'][:8]}  {approval['name']}: {problem or answer['status']}")
        if not engine.work():
            typer.echo("another agentfabric is at work on this folder and takes this along", err=True)
    raise typer.Exit(FAILED if problems else 0)


def _pending(engine: Engine, person: str, role: list[str] | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        query = {"limit": str(_PAGE), "after": after} if after else {"limit": str(_PAGE)}
        status, answer = engine.azure.call(
            "GET", "/api/approvals", person=person, roles=role or ["reviewer"], query=query
        )
        page = accepted(status, answer)["approvals"]
        found += page
        if len(page) < _PAGE:
            return found
        after = page[-1]["id"]


def _chosen(
    pending: list[dict[str, Any]], ids: list[str], *, everything: bool, label: str
) -> list[dict[str, Any]]:
    if everything:
        return pending
    chosen = [approval for approval in pending if label and approval.get("label") == label]
    for wanted in ids:
        matches = [approval for approval in pending if approval["id"].startswith(wanted)]
        if len(matches) != 1:
            problem = "several approvals start with" if matches else "nothing waits under"
            raise Stop(f"{problem} {wanted!r}; see `agentfabric approvals`", USAGE)
        chosen += matches
    if not chosen:
        raise Stop(f"nothing waits that was classified as {label!r}; see `agentfabric approvals`", USAGE)
    return chosen
