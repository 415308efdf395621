"""`approvals`, `approve` and `reject`: the approver's verbs, through the review's endpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.shared import (
    DONE,
    FAILED,
    FIRST_ERROR,
    HOME,
    USAGE,
    Home,
    Json,
    Person,
    Stop,
    accepted,
    opened,
    print_json,
)

if TYPE_CHECKING:
    from local.engine import Engine

_PAGE = 100
Ids = Annotated[list[str] | None, typer.Argument(help="Approvals, by id or by its first characters.")]
Everything = Annotated[bool, typer.Option("--all", help="All that wait.")]
Label = Annotated[str, typer.Option(help="All that wait and were classified as this.")]
Role = Annotated[list[str] | None, typer.Option(help="A role you have; may be repeated.")]
Comment = Annotated[str, typer.Option(help="Why you decide so.")]


def approvals(person: Person, role: Role = None, home: Home = HOME, *, as_json: Json = False) -> None:
    """List the decisions that wait for a human."""
    from local.report import print_approvals  # noqa: PLC0415

    with opened(home) as engine:
        pending = _pending(engine, Speaker(person, role))
    if as_json:
        for approval in pending:
            print_json(approval)
    else:
        print_approvals(pending)


def approve(
    person: Person,
    ids: Ids = None,
    label: Label = "",
    role: Role = None,
    comment: Comment = "",
    home: Home = HOME,
    *,
    everything: Everything = False,
) -> None:
    """Approve what waits, and let the review go on."""
    _decide("approved", Speaker(person, role), Choice(ids or [], label, everything), comment, home)


def reject(
    person: Person,
    ids: Ids = None,
    label: Label = "",
    role: Role = None,
    comment: Comment = "",
    home: Home = HOME,
    *,
    everything: Everything = False,
) -> None:
    """Reject what waits, and let the review go on."""
    _decide("rejected", Speaker(person, role), Choice(ids or [], label, everything), comment, home)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who decides."""

    name: str
    given: list[str] | None

    @property
    def roles(self) -> list[str]:
        """Their roles; on a laptop everybody is a reviewer unless they say otherwise."""
        return self.given or ["reviewer"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which approvals are meant."""

    ids: list[str]
    label: str
    everything: bool

    def among(self, pending: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return those meant; stops with a sentence when there are none."""
        if self.everything:
            return pending
        chosen = [approval for approval in pending if self.label and approval["shown"]["label"] == self.label]
        chosen += [_only(pending, wanted) for wanted in self.ids]
        if not chosen:
            raise Stop(f"nothing waits that was classified as {self.label!r}; see `agentfabric approvals`", USAGE)
        return chosen


def _only(pending: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    matches = [approval for approval in pending if approval["id"].startswith(wanted)]
    if len(matches) != 1:
        problem = "several approvals start with" if matches else "nothing waits under"
        raise Stop(f"{problem} {wanted!r}; see `agentfabric approvals`", USAGE)
    return matches[0]


def _decide(verdict: str, speaker: Speaker, choice: Choice, comment: str, home: Path) -> None:
    if not (choice.ids or choice.everything or choice.label):
        raise Stop("say which: ids, --label, or --all", USAGE)
    with opened(home) as engine:
        decided = [
            _decide_one(engine, verdict, speaker, approval, comment)
            for approval in choice.among(_pending(engine, speaker))
        ]
        if not engine.work():
            typer.echo("another agentfabric is at work on this folder and takes this along", err=True)
    raise typer.Exit(DONE if all(decided) else FAILED)


def _decide_one(engine: Engine, verdict: str, speaker: Speaker, approval: dict[str, Any], comment: str) -> bool:
    from local.report import printable  # noqa: PLC0415

    body = json.dumps({"verdict": verdict, "digest": approval["digest"], "comment": comment})
    path = f"/api/approvals/{approval['id']}/decision"
    status, answer = engine.azure.call("POST", path, person=speaker.name, roles=speaker.roles, body=body)
    refused = status >= FIRST_ERROR
    outcome = answer.get("detail") if refused else answer["status"]
    typer.echo(printable(f"{approval['id'][:8]}  {approval['name']}: {outcome}"))
    return not refused


def _pending(engine: Engine, speaker: Speaker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = {"limit": str(_PAGE)}
    while True:
        answer = engine.azure.call("GET", "/api/approvals", person=speaker.name, roles=speaker.roles, query=query)
        page = accepted(*answer)["approvals"]
        found += [_detail(engine, speaker, approval["id"]) for approval in page if not _over(engine, approval["task"])]
        if len(page) < _PAGE:
            return found
        query["after"] = page[-1]["id"]


def _over(engine: Engine, task: str) -> bool:
    """Whether nobody can decide on the task's documents any more: a cancelled task leaves its questions open."""
    from local.wiring import TENANT  # noqa: PLC0415

    return engine.ports.tasks.load(TENANT, task).over


def _detail(engine: Engine, speaker: Speaker, approval: str) -> dict[str, Any]:
    """Return an approval with what is to be decided; its digest binds the answer to exactly that."""
    return dict(
        accepted(*engine.azure.call("GET", f"/api/approvals/{approval}", person=speaker.name, roles=speaker.roles))
    )
