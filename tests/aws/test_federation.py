"""What the template trusts of other clouds, and what it carries to them: no static key, no web identity left open."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.formation import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NEEDED = ("aud", "sub")
PINNED = ("StringEquals", "ForAllValues:StringEquals")


def statements(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every statement of every policy in a template."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        for one in value.values():
            yield from statements(one)
    elif isinstance(value, list):
        for one in value:
            yield from statements(one)


def complaints(template: Any) -> list[str]:
    """Return what is too trusting: a principal of another place that is not pinned by audience and subject."""
    found = []
    for one in statements(template):
        principal = one.get("Principal", {})
        if one["Effect"] != "Allow" or not principal:
            continue
        if principal == "*" or "AWS" in principal:
            found.append("an account, or everybody, is trusted")
        if "Federated" in principal:
            exact = {key.rpartition(":")[2] for kind in PINNED for key in one.get("Condition", {}).get(kind, {})}
            found += [f"a web identity is not pinned by its {name}" for name in NEEDED if name not in exact]
    return found


def federated(condition: Mapping[str, Any]) -> Any:
    """Return a template with a role that a web identity may take on under a condition."""
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": "arn:aws:iam::1:oidc-provider/login.example.com"},
        "Condition": condition,
    }
    return {"Resources": {"Role": {"Properties": {"AssumeRolePolicyDocument": {"Statement": [trust]}}}}}


def test_the_template_trusts_no_other_place() -> None:
    """No role of the stack can be taken on from outside its account, other than by AWS's own services."""
    assert complaints(read()) == []


@pytest.mark.parametrize(
    ("condition", "wrong"),
    [
        ({"StringEquals": {"login.example.com:aud": "x", "login.example.com:sub": "y"}}, []),
        ({"StringEquals": {"login.example.com:aud": "x"}}, ["a web identity is not pinned by its sub"]),
        ({"StringEquals": {"login.example.com:sub": "y"}}, ["a web identity is not pinned by its aud"]),
        (
            {"StringEquals": {"login.example.com:aud": "x"}, "StringLike": {"login.example.com:sub": "*"}},
            ["a web identity is not pinned by its sub"],
        ),
        ({}, ["a web identity is not pinned by its aud", "a web identity is not pinned by its sub"]),
    ],
)
def test_a_web_identity_has_to_be_pinned(condition: Mapping[str, Any], wrong: list[str]) -> None:
    """The check above sees a role whose trust leaves audience or subject open."""
    assert complaints(federated(condition)) == wrong


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": "arn:aws:iam::2:root"}])
def test_other_accounts_are_seen(principal: Any) -> None:
    """The check above sees a policy that trusts another account, or everybody."""
    assert complaints({"Statement": [{"Effect": "Allow", "Principal": principal}]}) == [
        "an account, or everybody, is trusted"
    ]


def test_no_setting_takes_a_static_key() -> None:
    """No parameter and no variable of the stack is made for a key: providers' keys lie in Secrets Manager."""
    template = read()
    names = [*template["Parameters"], *re.findall(r'"([A-Z_]+)":', json.dumps(template["Resources"]))]
    assert [name for name in names if re.search(r"(?i)password|access_?key|secret_?key|connection_?string", name)] == []


def test_the_guide_pins_both_ends(root: Path) -> None:
    """What has to be set up by hand elsewhere names subject and audience for each cloud, and no key."""
    told = (
        (root / "docs/security.md")
        .read_text(encoding="utf-8")
        .partition("## Between the clouds")[2]
        .partition("\n## ")[0]
    )
    for cloud, words in {
        "Entra ID": ("`issuer`", "`subject`", "`audiences`"),
        "Google": ("--allowed-audiences", "--attribute-condition", "assertion.sub =="),
        "Home on AWS": ("`FabricIssuer`", "`FabricAudience`", "`aud` **and** `sub`"),
    }.items():
        (line,) = [one for one in told.split("\n- ") if one.startswith(f"**{cloud}**")]
        assert [word for word in words if word not in line] == []
