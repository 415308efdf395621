"""What a person sees who follows a link: a page without a script, on which nothing is decided by looking at it.

Knows HTML and what is to be shown; every word that comes from outside is escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# Nothing is loaded, nothing runs, nobody frames it, no address of it is told to anybody, no copy of it is kept.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_FORM = """<form method="post">
<p><label>Why: <input name="comment" maxlength="2000" size="60"></label></p>
<p><button name="verdict" value="approved">Approve</button> <button name="verdict" value="rejected">Reject</button></p>
</form>"""


class Page(NamedTuple):
    """A page and its status."""

    status: int
    html: str


def page(status: int, title: str, body: str) -> Page:
    """Return a page; `title` is escaped here, `body` is HTML already."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    return Page(status, f'<!doctype html><html lang="en">{head}<h1>{escape(title)}</h1>\n{body}</html>')


def question(summary: Mapping[str, Any], shown: Mapping[str, Any], digest: str, who: str) -> Page:
    """Return what is to be decided, and the two buttons that decide it."""
    about = [("Why", summary["reason"]), ("Asked by", summary["requested_by"]), ("Until", summary["deadline"])]
    rows = [*about, *shown.items(), ("Digest", digest), ("You are", who)]
    told = "\n".join(f"<dt>{escape(str(name))}</dt><dd>{escape(_said(value))}</dd>" for name, value in rows)
    return page(200, f"Decide on {summary['name']}", f"<dl>\n{told}\n</dl>\n{_FORM}")


def outcome(summary: Mapping[str, Any]) -> Page:
    """Return how the approval stands now."""
    said = f"<p>Your answer is noted. The approval is {escape(summary['status'])}.</p>"
    return page(200, f"Decided on {summary['name']}" if summary["status"] != "pending" else "Noted", said)


def refusal(status: int, detail: str) -> Page:
    """Return why nothing can be decided here."""
    return page(status, "Nothing was decided", f"<p>{escape(detail)}.</p>")


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(map(_said, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_said(one)}" for name, one in value.items())
    return str(value)
