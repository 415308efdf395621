from __future__ import annotations

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.events.ids import derive, traceparent

PARTS = st.lists(st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=6), min_size=1, max_size=4)


@given(PARTS, PARTS)
def test_ids_are_equal_exactly_when_their_parts_are(one: list[str], other: list[str]) -> None:
    """The same parts give the same id, and parts that only read alike when joined do not."""
    assert (derive(*one) == derive(*other)) == (one == other)


def test_an_id_is_a_uuid_of_version_5() -> None:
    """A derived id is a UUID and stays the same from release to release."""
    made = derive("acme", "task-1", 0)
    assert UUID(made).version == 5
    assert made == derive("acme", "task-1", "0")
    assert made == "d2e2ec81-acc6-501c-848b-0d9ddcd053d5"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_trace_is_its_tasks(task: str, span: str) -> None:
    """A traceparent has W3C's form, and all of a task's share its trace."""
    made = traceparent(task, span)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", made)
    assert made[:35] == traceparent(task, "another")[:35]
