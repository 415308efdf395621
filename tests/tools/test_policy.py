from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import Permanent
from shared.events.document import DocumentRef
from shared.tools.policy import PolicyInput, policy
from shared.tools.registry import Toolbox, get

Put = Callable[..., DocumentRef]


@pytest.mark.parametrize(
    ("label", "score", "required", "rule"),
    [
        ("MIT", 0.9, False, "class:MIT"),
        ("GPL-3.0", 0.9, True, "class:GPL-3.0"),
        ("unknown", 0.0, True, "unknown"),
        ("MIT", 0.2, True, "unknown"),
    ],
)
def test_the_taxonomy_decides(
    label: str, score: float, *, required: bool, rule: str, toolbox: Toolbox, licences: DocumentRef
) -> None:
    """Copyleft, the unknown and the unsure need a human; the rest does not."""
    output = policy(PolicyInput(label=label, score=score, taxonomy=licences), toolbox)
    assert (output.approval_required, output.rule) == (required, rule)
    assert output.reason.endswith(".")


def test_copyleft_behind_a_permissive_licence_needs_a_human(toolbox: Toolbox, licences: DocumentRef) -> None:
    """What stands beside the label counts, when the caller tells."""
    given = PolicyInput(label="MIT", score=0.9, taxonomy=licences, also=("ISC", "GPL-3.0"))
    output = policy(given, toolbox)
    assert (output.approval_required, output.rule) == (True, "also:GPL-3.0")


def test_the_reason_names_the_document(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """A reason that a human reads says which document it is about."""
    given = PolicyInput(label="MPL-2.0", score=1.0, taxonomy=licences, document=put("x", "pkg/LICENSE"))
    assert policy(given, toolbox).reason == "pkg/LICENSE: MPL-2.0 (weak copyleft) needs an approval."


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"score": 1.1}, "score"),
        ({"score": float("nan")}, "score"),
        ({"label": ""}, "label"),
        ({"label": "Beer"}, "label"),
    ],
)
def test_what_no_classification_says_is_refused(
    change: dict[str, Any], where: str, toolbox: Toolbox, licences: DocumentRef
) -> None:
    """A score out of range and a label of another taxonomy are no basis for a ruling."""
    with pytest.raises(Permanent) as caught:
        get("policy").run({"label": "MIT", "score": 0.9, "taxonomy": licences} | change, toolbox)
    assert caught.value.where == where
