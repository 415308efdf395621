"""Each check of `make check`, given something with a planted flaw: a scanner that stays green proves nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.leaks import PATTERNS

ROOT = Path(__file__).resolve().parents[2]
SAM = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Metadata:
      checkov: {{skip: [{{id: CKV_AWS_115}}, {{id: CKV_AWS_116}}, {{id: CKV_AWS_117}}, {{id: CKV_AWS_173}}]}}
    Properties:
      Handler: a.b
      Runtime: python3.11
      CodeUri: s3://bucket/key
{more}"""
SOUND = SAM.format(more="")
INLINE = """\
      Policies:
        - Version: "2012-10-17"
          Statement: [{Effect: Allow, Action: "*", Resource: "*"}]
"""
NOWHERE = "      Layers: [!Ref Nowhere]\n"
GHOST = """\
      Events:
        E: {Type: HttpApi, Properties: {ApiId: !Ref A, Method: POST, Path: /x, Auth: {Authorizer: Ghost}}}
  A: {Type: AWS::Serverless::HttpApi}
"""
MACHINE = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "%s"}}}'
FLAWS = (
    ("lint", "LINTED", "__init__.py", '"""A."""\n\nimport hashlib\n\nMADE = eval("1")\n', "S307"),
    ("format", "LINTED", "a.py", "a  =  1\n", "-a  =  1"),
    ("types", "TYPED", "a.py", 'a: int = "one"\n', "[assignment]"),
    ("secrets", "SCANNED", "a.py", 'KEY = "AK' + 'IAQQQQQQQQQQQQQQQQ"\n', "an AWS access key"),
    ("cfn-lint", "TEMPLATE", "t.yaml", SAM.format(more=NOWHERE), "Nowhere"),
    ("sam", "TEMPLATE", "t.yaml", SAM.format(more=GHOST), "Ghost"),
    ("checkov", "TEMPLATE", "t.yaml", SAM.format(more=INLINE), "CKV_AWS_63"),
    ("statemachines", "MACHINES", "m.json", MACHINE % 'Next": "Nowhere', "Nowhere"),
)
SOUNDS = (
    ("lint", "LINTED", "__init__.py", '"""A."""\n\nMADE = 1\n'),
    ("format", "LINTED", "a.py", "a = 1\n"),
    ("types", "TYPED", "a.py", "a: int = 1\n"),
    ("secrets", "SCANNED", "a.py", 'KEY = os.environ["KEY"]\n'),
    ("cfn-lint", "TEMPLATE", "t.yaml", SOUND),
    ("sam", "TEMPLATE", "t.yaml", SOUND),
    ("checkov", "TEMPLATE", "t.yaml", SOUND),
    ("statemachines", "MACHINES", "m.json", MACHINE % 'End": true, "Comment": "fine'),
)
# How a secret of each kind begins and goes on; apart, so that this file holds none.
SECRETS = {
    "an AWS access key": ("AK", "IAQQQQQQQQQQQQQQQQ"),
    "an AWS secret key": ("aws_secret_access", "_key = " + "q/Q1" * 10),
    "a private key": ("-----BEGIN RSA PRI", "VATE KEY-----"),
    "a storage account's key": ("Account", "Key=" + "qQ1+" * 21 + "qw=="),
    "a shared access signature": ("https://a.example/c?sv=1&si", "g=" + "q1" * 22),
    "a Google API key": ("AI", "za" + "q" * 35),
    "a Google service account's key": ('"private_key', '_id": "' + "a1" * 20 + '"'),
    "a GitHub token": ("gh", "p_" + "q" * 36),
    "a GitLab token": ("glp", "at-" + "q" * 20),
    "a Slack token": ("xox", "b-123456789012-123456789012-qqqq"),
    "a key of OpenAI or Anthropic": ("sk", "-ant-" + "q" * 40),
    "a package registry's token": ("np", "m_" + "q" * 36),
    "a signed token": ("ey", "JhbGciOiJSUzI1NiJ9.ey" + "JzdWIiOiJhbm4ifQ." + "q" * 43),
    "a password in an address": ("postgres://ann:", "correct-horse@db.example.com/x"),
}


def checked(check: str, variable: str, file: Path, text: str) -> tuple[int, str]:
    """Run a check of the Makefile on one file; skip where its tool cannot be had."""
    file.write_text(text, encoding="utf-8")
    told = subprocess.run(
        ["make", f"check-{check}", f"{variable}={file}"],  # noqa: S607  make is what a developer types
        cwd=ROOT,
        env={**os.environ, "CI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if told.stdout.startswith("skip: "):
        if os.environ.get("CI") == "true":
            pytest.fail(f"{told.stdout.strip()}; a gate that nobody tried is no gate")
        pytest.skip(told.stdout)
    return told.returncode, told.stdout + told.stderr


@pytest.mark.parametrize(("check", "variable", "name", "text", "found"), FLAWS, ids=[flaw[0] for flaw in FLAWS])
def test_a_planted_flaw_turns_the_check_red(
    tmp_path: Path, check: str, variable: str, name: str, text: str, found: str
) -> None:
    """The check fails for a planted flaw, and names it."""
    code, said = checked(check, variable, tmp_path / name, text)
    assert code != 0, said
    assert found in said


@pytest.mark.parametrize(("check", "variable", "name", "text"), SOUNDS, ids=[sound[0] for sound in SOUNDS])
def test_the_check_is_green_without_it(tmp_path: Path, check: str, variable: str, name: str, text: str) -> None:
    """The same check passes what has no flaw: it was the flaw that it saw."""
    code, said = checked(check, variable, tmp_path / name, text)
    assert code == 0, said


def test_every_check_has_its_flaw() -> None:
    """Whoever adds a check to `make check` plants a flaw for it here."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = makefile.partition("\ncheck: ")[2].partition("##")[0].replace("\\\n", " ").split()
    assert {one.removeprefix("check-") for one in listed} == {flaw[0] for flaw in FLAWS} == {one[0] for one in SOUNDS}


@pytest.mark.parametrize("kind", PATTERNS)
def test_every_kind_of_secret_is_found(tmp_path: Path, kind: str) -> None:
    """A secret of each kind is found where it stands, and is not repeated by whoever finds it."""
    secret = "".join(SECRETS[kind])
    code, said = checked("secrets", "SCANNED", tmp_path / "a.txt", f"one\n{secret}\n")
    assert code != 0
    assert f"a.txt:2: looks like {kind}" in said
    assert secret not in said
