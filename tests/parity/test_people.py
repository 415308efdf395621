"""Who asked on AWS and who decides on Azure: one person has one name on both, whatever they are called."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aws import wire as aws
from azure.fabric import wire as azure
from local.review import claims
from shared.core import approval as approvals
from shared.core import workflow as workflows
from shared.core.approval import Approval, ApprovalPolicy, Level, Person, Vote
from shared.core.workflow import DOCUMENT_REVIEW, Checkpoint
from shared.errors import Forbidden
from tests.core.given import NOON
from tests.local.stage import ASKING, INVOICE, PERSON, fabric, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
LEVEL = Level(approvers=("reviewer",), wait=3600)
DIGEST = "a" * 64


def sample(name: str) -> dict[str, Any]:
    """Return a recorded envelope."""
    found: dict[str, Any] = json.loads((SAMPLES / name).read_text(encoding="utf-8"))
    return found


def principal(**values: str) -> dict[str, Any]:
    """Return Azure's sample of a signed-in person, with other values of those claims whose type ends so."""
    content = sample("azure/client_principal.json")
    for claim in content["claims"]:
        claim["val"] = values.get(claim["typ"].rpartition("/")[2], claim["val"])
    return content


def on_azure(content: dict[str, Any]) -> Person:
    """Return the person in a client principal."""
    header = base64.b64encode(json.dumps(content).encode()).decode()
    return azure.caller_of({azure.PRINCIPAL: header}, vouched=True).person


def on_aws(subject: str) -> str:
    """Return the person in AWS's sample of a request, whose token's subject is the given one."""
    event = sample("aws/http_api.json")
    event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = subject
    return aws.request(event, [event["routeKey"]]).person


def subject() -> str:
    """Return the id that the identity provider gave to the person of Azure's sample."""
    return next(str(claim["val"]) for claim in principal()["claims"] if claim["typ"].endswith("objectidentifier"))


def asked(by: str, **policy: Any) -> Approval:
    """Return an approval that somebody asked for."""
    return Approval(
        id="a1",
        tenant="acme",
        task="t1",
        entity="package:t1",
        run=1,
        document=0,
        name="a.txt",
        reason="copyleft",
        digest=DIGEST,
        policy=ApprovalPolicy(levels=(LEVEL,), **policy),
        requested_by=by,
        requested_at=NOON,
        deadline=NOON.replace(year=NOON.year + 1),
    )


def approved(by: Person) -> Vote:
    """Return a person's consent."""
    return Vote(verdict="approved", by=by, digest=DIGEST)


@pytest.mark.parametrize("name", ["bob@example.com", "robert@example.com"])
def test_who_asked_on_aws_may_not_decide_on_azure(name: str) -> None:
    """Under four eyes the requester is refused, under whatever address they have by now; a namesake is not."""
    approval = asked(on_aws(subject()), four_eyes=True)
    with pytest.raises(Forbidden) as refused:
        approvals.vote(approval, approved(on_azure(principal(emailaddress=name))), NOON)
    assert refused.value.code == "four-eyes"
    namesake = on_azure(principal(emailaddress=name, objectidentifier="00000000-0000-0000-0000-0000000000b1"))
    assert approvals.vote(approval, approved(namesake), NOON).approval.status == "approved"


def test_a_renamed_person_does_not_make_a_quorum() -> None:
    """Somebody who votes again under another name is still one person."""
    before, after = on_azure(principal()), on_azure(principal(name="Robert", emailaddress="robert@example.com"))
    assert before.shown != after.shown
    once = approvals.vote(asked("ann", quorum=2), approved(before), NOON).approval
    twice = approvals.vote(once, approved(after), NOON).approval
    assert (twice.status, len(twice.votes)) == ("pending", 1)


def test_on_a_laptop_a_person_is_the_same_on_both_clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever submitted through AWS's handler is refused by Azure's under four eyes, through both real envelopes."""
    policy = ApprovalPolicy(levels=(LEVEL,), four_eyes=True)
    flow = replace(DOCUMENT_REVIEW, checkpoint=Checkpoint(DOCUMENT_REVIEW.checkpoint.when, policy))
    monkeypatch.setattr(workflows, "WORKFLOWS", {flow.name: flow})
    with fabric() as opened:
        review = opened.submit(write_corpus(tmp_path, {"bill.txt": INVOICE}), ASKING)
        opened.engine.work(patience=1.0)
        (item,) = review.collected()
        assert opened.task(item.task).submitted_by == claims(PERSON)["sub"]
        status, told = opened.decide(item.approval, "approved")
        assert (status, told["code"]) == (403, "four-eyes")
