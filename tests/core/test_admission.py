from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shared.core.admission import Submission, admit, tenant_policy
from shared.core.policy import TenantPolicy
from shared.core.workflow import Workflow
from shared.errors import Forbidden, Permanent
from tests.core.given import document

WORST = 682
POLICY = TenantPolicy(max_budget=WORST * 60)


def worst_of(flow: Workflow) -> int:
    """Return what one document can cost at most."""
    assert flow.name == "document-review"
    return WORST


def submission(documents: int = 1, **more: Any) -> Submission:
    """Return a submission of some documents."""
    refs = tuple(document(str(number)) for number in range(documents))
    said: dict[str, Any] = {"entity": "package:x", "documents": refs, "taxonomy": document("taxonomy.toml")}
    return Submission.model_validate(said | more)


@pytest.mark.parametrize(
    ("asked", "given"), [(None, 2 * WORST), (1, 1), (2 * WORST, 2 * WORST), (60 * WORST, 60 * WORST)]
)
def test_a_budget_is_what_was_asked_for_or_the_worst_case(asked: int | None, given: int) -> None:
    """Without a wish the budget is the worst case; a smaller one is allowed, as its run pauses and asks for more."""
    assert admit(submission(2, budget_micro_usd=asked), POLICY, worst_of) == given


@pytest.mark.parametrize(
    ("wrong", "code", "verdict"),
    [
        (submission(workflow="mine-bitcoin"), "unknown-workflow", Forbidden),
        (submission(51), "too-many", Permanent),
        (submission(budget_micro_usd=60 * WORST + 1), "budget-too-large", Forbidden),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_in_order_is_refused(wrong: Submission, code: str, verdict: type[Permanent]) -> None:
    """A client's mistake is Permanent, what the tenant may not do is Forbidden, and each has its own code."""
    with pytest.raises(verdict) as refused:
        admit(wrong, POLICY, worst_of)
    assert refused.value.code == code
    assert isinstance(refused.value, Forbidden) == (verdict is Forbidden)


def test_a_worst_case_above_the_tenants_limit_is_refused() -> None:
    """Whoever names no budget is not given more than the tenant may spend."""
    with pytest.raises(Forbidden) as refused:
        admit(submission(2), TenantPolicy(max_budget=2 * WORST - 1), worst_of)
    assert refused.value.code == "budget-too-large"


def test_a_workflow_must_be_among_the_tenants() -> None:
    """A workflow that exists is still refused to a tenant who has not got it."""
    with pytest.raises(Forbidden, match="not among yours: other"):
        admit(submission(), TenantPolicy(workflows=("other",)), worst_of)


def test_a_stranger_is_refused() -> None:
    """Only tenants that somebody set up may do anything."""
    assert tenant_policy({"acme": POLICY}, "acme") is POLICY
    with pytest.raises(Forbidden) as refused:
        tenant_policy({"acme": POLICY}, "evil")
    assert refused.value.code == "unknown-tenant"


@pytest.mark.parametrize(
    "wrong",
    [
        {"entity": ""},
        {"entity": "a\x1fb"},
        {"entity": "a\n"},
        {"entity": "x" * 257},
        {"budget_micro_usd": 0},
        {"budget_micro_usd": -1},
        {"budget_micro_usd": 1.5},
        {"tenant": "acme"},
        {"workflow": "w" * 65},
    ],
    ids=str,
)
def test_a_submission_out_of_shape_is_refused(wrong: dict[str, Any]) -> None:
    """A submission names at least one document, an entity without control characters, and never who pays."""
    with pytest.raises(ValidationError):
        submission(**wrong)
    with pytest.raises(ValidationError):
        submission(0)
