"""What the verbs share: where the state is, who is asking, how answers are printed."""

from __future__ import annotations

import getpass
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from local.engine import Engine
    from shared.errors import Throttled
    from shared.events.document import DocumentRef
    from shared.ports import Documents

DONE, FAILED, USAGE, WAITING = 0, 1, 2, 3
FIRST_ERROR = 400


class Stop(Exception):  # noqa: N818  the end of a verb, not a defect
    """The verb ends here, with a sentence for the person and an exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "local-user"


def _somebody(name: str) -> str:
    if not name.strip():
        raise Stop("--as wants a name", USAGE)
    return name


Home = Annotated[
    Path, typer.Option("--home", envvar="AGENTFABRIC_HOME", help="The folder that keeps the fabric's state.")
]
Person = Annotated[str, typer.Option("--as", help="Who you are.", default_factory=_user, callback=_somebody)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
HOME = Path(".agentfabric")


@contextmanager
def opened(home: Path) -> Iterator[Engine]:
    """Open the fabric that lives in `home`."""
    from local.clock import RealClock  # noqa: PLC0415  `agentfabric --help` should not load three clouds
    from local.engine import Engine  # noqa: PLC0415

    try:
        with Engine(home, RealClock()) as engine:
            yield engine
    except (OSError, sqlite3.Error) as error:
        raise Stop(f"the state in {home} cannot be used: {error}") from error


def accepted(status: int, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer of an endpoint, or stop with its problem's words; what passes says when to try again."""
    from local.entrance import held_up  # noqa: PLC0415  as below

    refusal = held_up(status, answer)
    if refusal is not None:
        raise Stop(for_now(refusal), WAITING)
    if status >= FIRST_ERROR:
        raise Stop(str(answer.get("detail") or answer.get("title") or f"answered {status}"))
    return answer


def for_now(refusal: Throttled) -> str:
    """Say what is refused for now, and for how long."""
    return f"{refusal}; try again in {refusal.retry_after:g} s"


def print_json(value: Any) -> None:  # noqa: ANN401  any JSON value
    """Print one JSON value on one line; bytes of a file's name that are no text are escaped, as JSON can."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    typer.echo(text.encode("utf-8", "backslashreplace").decode())


def taxonomy_ref(documents: Documents, name: str) -> DocumentRef:
    """Return the reference of a taxonomy: a file's, or a packaged one's by name. The same content is the same one."""
    from shared import taxonomies  # noqa: PLC0415
    from shared.core.taxonomy import parse_taxonomy  # noqa: PLC0415
    from shared.errors import Permanent  # noqa: PLC0415

    path = Path(name)
    try:
        is_file = path.suffix == ".toml" or (name not in taxonomies.names() and path.is_file())
        text = path.read_text(encoding="utf-8") if is_file else taxonomies.builtin(name)
        called = parse_taxonomy(text).name
    except (OSError, UnicodeDecodeError, Permanent) as error:
        raise Stop(f"taxonomy {name}: {error}", USAGE) from error
    return documents.write(text.encode(), "application/toml", called)
