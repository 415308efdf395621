"""`approvals`, `approve` and `reject`: the approver's verbs, through the review's endpoints.

A decision is about what a person was shown: it carries the digest of that, and is refused when something else is there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from local.cli.doors import Azure, Doors, Place, Where, doors
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
    print_json,
)

_PAGE = 100
_DIGEST = re.compile("[0-9a-f]{8,64}")
Ids = Annotated[list[str] | None, typer.Argument(help="Approvals, by id or by its first characters.")]
Everything = Annotated[bool, typer.Option("--all", help="All that wait.")]
Label = Annotated[str, typer.Option(help="All that wait and were classified as this.")]
Role = Annotated[list[str] | None, typer.Option(help="A role you have; may be repeated.")]
Comment = Annotated[str, typer.Option(help="Why you decide so.")]
Digest = Annotated[str, typer.Option(help="The digest you saw, or its first 8 characters; of one approval.")]


def approvals(
    person: Person,
    approval: Annotated[str, typer.Argument(help="One approval, to be shown whole.")] = "",
    role: Role = None,
    home: Home = HOME,
    where: Where = Place.EMBEDDED,
    *,
    as_json: Json = False,
    link: Annotated[
        bool, typer.Option("--link", help="Print a link by which you decide it, once, within a day.")
    ] = False,
) -> None:
    """List the decisions that wait for a human, or show one of them whole."""
    from local.listings import print_approval, print_approvals  # noqa: PLC0415

    speaker = Speaker(person, role)
    with doors(home, where) as to:
        pending = _pending(to.azure, speaker)
        if link:
            typer.echo(_linked(to, speaker, _only(pending, approval)["id"]))
            return
    shown = [_only(pending, approval)] if approval else pending
    if as_json:
        for one in shown:
            print_json(one)
    elif approval:
        print_approval(shown[0], where.words)
    else:
        print_approvals(shown, where.words)


def _linked(to: Doors, speaker: Speaker, approval: str) -> str:
    """Return a link for the speaker, where something is there to follow it to."""
    if not to.address:
        raise Stop("nothing serves links in this process; --stack emulators, or a function app, does", USAGE)
    asked = to.azure.call("POST", f"/api/approvals/{approval}/link", person=speaker.name, roles=speaker.roles)
    return f"{to.address}{accepted(*asked)['path']}"


def approve(  # noqa: PLR0913  what a person can say is what the verb takes
    person: Person,
    ids: Ids = None,
    label: Label = "",
    digest: Digest = "",
    role: Role = None,
    comment: Comment = "",
    home: Home = HOME,
    *,
    where: Where = Place.EMBEDDED,
    everything: Everything = False,
) -> None:
    """Approve what waits, and let the review go on."""
    _decide("approved", Speaker(person, role), Choice(ids or [], label, digest, everything), comment, (home, where))


def reject(  # noqa: PLR0913  as above
    person: Person,
    ids: Ids = None,
    label: Label = "",
    digest: Digest = "",
    role: Role = None,
    comment: Comment = "",
    home: Home = HOME,
    *,
    where: Where = Place.EMBEDDED,
    everything: Everything = False,
) -> None:
    """Reject what waits, and let the review go on."""
    _decide("rejected", Speaker(person, role), Choice(ids or [], label, digest, everything), comment, (home, where))


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who decides."""

    name: str
    given: list[str] | None

    @property
    def roles(self) -> list[str]:
        """Their roles; on a laptop everybody reviews and owns unless they say otherwise."""
        return self.given or ["reviewer", "owner"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which approvals are meant, and of what content."""

    ids: list[str]
    label: str
    digest: str
    everything: bool

    def check(self) -> None:
        """Stop unless it says which approvals it means."""
        if not (self.ids or self.everything or self.label):
            raise Stop("say which: ids, --label, or --all", USAGE)
        if self.everything and (self.ids or self.label):
            raise Stop("--all is all that waits: leave it out, or the ids and --label", USAGE)
        if self.digest and not self.is_one:
            raise Stop("--digest is of one approval: name one id with it, and nothing else", USAGE)
        if self.digest and not _DIGEST.fullmatch(self.digest.lower()):
            raise Stop("a digest is 8 to 64 of the characters 0-9 and a-f; `agentfabric approvals` shows it", USAGE)

    @property
    def is_one(self) -> bool:
        """Whether one approval was named, and nothing else."""
        return len(self.ids) == 1 and not (self.label or self.everything)

    def among(self, pending: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return those meant, each once; stops with a sentence when there are none."""
        if self.everything:
            return pending
        chosen = [approval for approval in pending if self.label and approval["shown"].get("label") == self.label]
        if self.label and not chosen:
            raise Stop(f"nothing waits that was classified as {self.label!r}; see `agentfabric approvals`", USAGE)
        named = [_only(pending, wanted) for wanted in self.ids]
        return list({approval["id"]: approval for approval in (*chosen, *named)}.values())


def _only(pending: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    matches = [approval for approval in pending if approval["id"].startswith(wanted)]
    if len(matches) != 1 or not wanted:
        problem = "several approvals start with" if matches else "nothing waits under"
        raise Stop(f"{problem} {wanted!r}; see `agentfabric approvals`", USAGE)
    return matches[0]


def _decide(verdict: str, speaker: Speaker, choice: Choice, comment: str, at: tuple[Path, Place]) -> None:
    choice.check()
    with doors(*at) as to:
        chosen = choice.among(_pending(to.azure, speaker))
        if choice.digest:
            _check_seen(chosen[0], choice.digest.lower())
        elif choice.is_one:
            _say_what(chosen[0], verdict)
        decided = [_decide_one(to.azure, verdict, speaker, approval, comment) for approval in chosen]
        if decided:
            to.go_on()
        else:
            typer.echo("nothing waits for a decision")
    raise typer.Exit(DONE if all(decided) else FAILED)


def _check_seen(approval: dict[str, Any], digest: str) -> None:
    """Stop when what is there now is not what the person saw."""
    if not approval["digest"].startswith(digest):
        now = f"its digest is {approval['digest'][:8]}, not {digest[:8]}"
        raise Stop(f"this is not what you saw: {now}; look again: `agentfabric approvals {approval['id'][:8]}`")


def _say_what(approval: dict[str, Any], verdict: str) -> None:
    from local.listings import in_a_line  # noqa: PLC0415

    typer.echo(f"to be {verdict}: {in_a_line(approval)}", err=True)


def _decide_one(azure: Azure, verdict: str, speaker: Speaker, approval: dict[str, Any], comment: str) -> bool:
    from local.screen import printable  # noqa: PLC0415

    body = json.dumps({"verdict": verdict, "digest": approval["digest"], "comment": comment})
    path = f"/api/approvals/{approval['id']}/decision"
    status, answer = azure.call("POST", path, person=speaker.name, roles=speaker.roles, body=body)
    refused = status >= FIRST_ERROR
    outcome = answer.get("detail") if refused else answer["status"]
    typer.echo(printable(f"{approval['id'][:8]}  {approval['name']}: {outcome}"))
    return not refused


def _pending(azure: Azure, speaker: Speaker) -> list[dict[str, Any]]:
    """Return what waits, each with what is to be decided and the digest that binds the answer to exactly that."""
    found: list[dict[str, Any]] = []
    query = {"limit": str(_PAGE)}
    while True:
        answer = azure.call("GET", "/api/approvals", person=speaker.name, roles=speaker.roles, query=query)
        page = accepted(*answer)["approvals"]
        found += [_detail(azure, speaker, approval["id"]) for approval in page]
        if len(page) < _PAGE:
            return found
        query["after"] = page[-1]["id"]


def _detail(azure: Azure, speaker: Speaker, approval: str) -> dict[str, Any]:
    return dict(accepted(*azure.call("GET", f"/api/approvals/{approval}", person=speaker.name, roles=speaker.roles)))
