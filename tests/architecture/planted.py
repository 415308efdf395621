"""Small sources that break a rule, and their neighbours that do not: the rules' own tests.

Knows the rules by name only; each line here is what somebody might really write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.architecture import arrows, purity, shape
from tests.architecture.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Planted:
    """A rule and a source to try it on."""

    rule: Callable[[Source], list[str]]
    source: Source

    def __str__(self) -> str:
        """Name the case after its rule and its first line."""
        return f"{self.rule.__name__}: {self.source.path}: {self.source.text.splitlines()[0]}"


def planted(rule: Callable[[Source], list[str]], *cases: tuple[str, str]) -> tuple[Planted, ...]:
    """Make one case of each path and text."""
    return tuple(Planted(rule, Source(path, text)) for path, text in cases)


UNDER_TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shared.app import submit"
LONG_FUNCTION = "def walk() -> None:\n" + "    pass\n" * 60
TEST = "def test_x() -> None:\n"

VIOLATIONS = (
    *planted(
        arrows.keeps_the_arrows,
        ("shared/events/task.py", "from shared.core import policy"),
        ("shared/core/policy.py", "from shared.ports import Ports"),
        ("shared/core/policy.py", UNDER_TYPE_CHECKING),
        ("shared/core/policy.py", "from ..app import submit"),
        ("shared/core/policy.py", "from .. import app"),
        ("shared/tools/extract.py", "def late() -> None:\n    import shared.app.submit"),
        ("shared/models/extractive.py", "from shared.tools import classify"),
        ("shared/models/extractive.py", "from shared.events import document"),
        ("shared/errors.py", "from shared.events import document"),
        ("shared/ports.py", "import shared.app"),
        ("shared/app/submit.py", "from azure.fabric import wire"),
        ("shared/app/submit.py", "import local.cli"),
        ("shared/utils/text.py", "import re"),
        ("shared/app/router.py", "from providers.deployments import Deployments"),
    ),
    *planted(
        arrows.keeps_clouds_apart,
        ("aws/wire.py", "from gcp.wire import parse"),
        ("gcp/handlers.py", "import local.engine"),
        ("azure/fabric/wire.py", "from aws import wire"),
        ("function_app.py", "import gcp.main"),
        ("aws/wire.py", "from azure.fabric import wire"),
    ),
    *planted(
        arrows.keeps_providers_apart,
        ("providers/http.py", "from aws.adapters import web"),
        ("providers/gemini.py", "import google.genai"),
        ("providers/openai.py", "from botocore.auth import SigV4Auth"),
        ("providers/bedrock.py", "import boto3"),
        ("providers/smollm.py", "def late() -> None:\n    from local.cli import main"),
    ),
    *planted(
        arrows.keeps_sdks_at_the_edge,
        ("shared/app/submit.py", "import boto3"),
        ("shared/core/policy.py", "def late() -> None:\n    from google.cloud import spanner"),
        ("shared/tools/extract.py", "from azure.storage.blob import BlobClient"),
        ("aws/names.py", "from botocore.config import Config"),
        ("aws/adapters/tasks.py", "from google.cloud import spanner"),
        ("aws/adapters/tasks.py", "from azure import functions"),
        ("gcp/adapters/records.py", "import aws_lambda_powertools"),
        ("azure/fabric/names.py", "import azure.functions as func"),
        ("azure/fabric/handlers/http.py", "import flask"),
    ),
    *planted(
        purity.leaves_the_environment_to_wiring,
        ("aws/handlers/ingress.py", 'import os\nTABLE = os.environ["TABLE"]'),
        ("aws/adapters/tasks.py", "from os import getenv"),
        ("providers/openai.py", "import os\nKEY = os.environ['KEY']"),
        ("gcp/main.py", "import os as system\nsystem.getenv('TABLE')"),
        ("shared/app/wiring.py", "import os\nos.environ.get('TABLE')"),
        ("function_app.py", "from os import environ as settings"),
    ),
    *planted(
        purity.is_pure,
        ("shared/core/policy.py", "import datetime\nnow = datetime.datetime.now()"),
        ("shared/core/policy.py", "from datetime import datetime as dt\nmake = dt.now"),
        ("shared/core/policy.py", "from datetime import date\ndate.today()"),
        ("shared/events/envelope.py", "from uuid import uuid4"),
        ("shared/events/envelope.py", "import uuid\nuuid.uuid4()"),
        ("shared/events/envelope.py", "import logging"),
        ("shared/core/policy.py", "from time import time"),
        ("shared/core/policy.py", "import random"),
        ("shared/core/policy.py", "import secrets"),
        ("shared/core/policy.py", "open('rules.toml')"),
        ("shared/core/policy.py", "from pathlib import Path\nPath('rules.toml').read_text()"),
    ),
    *planted(
        purity.reaches_nothing,
        ("shared/tools/fetch.py", "import socket"),
        ("shared/tools/fetch.py", "def late() -> None:\n    from urllib.request import urlopen"),
        ("shared/tools/fetch.py", "from providers.http import Pool"),
        ("shared/tools/_shell.py", "import subprocess"),
    ),
    *planted(
        purity.does_nothing_at_import,
        ("aws/handlers/ingress.py", "import boto3\nclient = boto3.client('dynamodb')"),
        ("gcp/main.py", "from gcp.wiring import ports\nPORTS = ports()"),
        ("azure/fabric/handlers/http.py", "from azure.fabric import wiring\nPORTS = wiring.ports()"),
        ("aws/adapters/tasks.py", "import boto3\nclass Tasks:\n    client = boto3.client('dynamodb')"),
        ("aws/adapters/tasks.py", "import boto3\ndef load(table=boto3.client('dynamodb')): ..."),
    ),
    *planted(
        shape.is_short,
        ("shared/core/policy.py", "x = 1\n" * 401),
        ("local/engine.py", LONG_FUNCTION),
    ),
    *planted(
        shape.says_what_it_tests,
        ("tests/core/test_policy.py", TEST + "    assert True"),
        ("tests/core/test_policy.py", TEST + '    """It holds. It also burns."""'),
        ("tests/core/test_policy.py", TEST + '    """no end"""'),
        ("tests/core/test_policy.py", 'class TestX:\n    async def test_x(self) -> None:\n        """"""'),
    ),
    *planted(
        shape.gives_reasons,
        ("tests/core/test_policy.py", "import pytest\npytest.skip()"),
        ("tests/core/test_policy.py", "import pytest\n@pytest.mark.skip\ndef helper(): ..."),
        ("tests/core/test_policy.py", "import pytest\npytestmark = pytest.mark.skipif(True)"),
        ("tests/core/test_policy.py", "import pytest\n@pytest.mark.xfail(reason='')\ndef helper(): ..."),
        ("tests/core/test_policy.py", "from pytest import importorskip\nimportorskip('moto')"),
    ),
    *planted(
        shape.belongs_everywhere,
        ("requirements.txt", "--" + "index-url https://packages.example/simple"),
        ("package-lock.json", '  "resolved' + '": "https://packages.example/ajv.tgz"'),
        ("docs/setup.md", "see https://pypi" + ".org/project/pydantic"),
        ("README.md", "cd /ho" + "me/ann/agentfabric"),
        ("local/cli.py", 'STATE = "/ro' + 'ot/.agentfabric"'),
    ),
)

ALLOWED = (
    *planted(
        arrows.keeps_the_arrows,
        ("shared/core/policy.py", "from shared.errors import Permanent\nfrom shared.events import task"),
        ("shared/app/submit.py", "from shared.core import policy\nfrom . import run_step"),
        ("local/engine.py", "import aws.wire, gcp.wire, shared.app"),
    ),
    *planted(
        arrows.keeps_clouds_apart,
        (
            "azure/fabric/wire.py",
            "import azure.functions\nfrom azure.fabric import wiring\nimport shared.app",
        ),
        ("local/engine.py", "import aws.wire\nimport gcp.wire"),
    ),
    *planted(
        arrows.keeps_providers_apart,
        ("providers/bedrock.py", "from botocore.auth import SigV4Auth\nfrom shared.core import phrasing"),
        ("aws/wiring.py", "from providers.deployments import Deployments"),
    ),
    *planted(
        arrows.keeps_sdks_at_the_edge,
        ("aws/adapters/tasks.py", "import boto3"),
        ("gcp/main.py", "import functions_framework"),
        ("function_app.py", "import azure.functions as func"),
        ("azure/fabric/names.py", "from azure.fabric import wire"),
        ("local/host.py", "import boto3\nimport flask"),
        ("aws/names.py", "import googlemaps"),
    ),
    *planted(
        purity.leaves_the_environment_to_wiring,
        ("aws/wiring.py", "import os\nos.environ['TABLE']"),
        ("local/cli.py", "import os\nos.getenv('HOME')"),
        ("aws/wire.py", "environ = {}\nenviron.get('x')"),
    ),
    *planted(
        purity.is_pure,
        ("shared/core/policy.py", "def decide(now: float) -> float:\n    return now.now()"),
        ("shared/core/ids.py", "from uuid import uuid5"),
        ("shared/app/submit.py", "import logging"),
    ),
    *planted(
        purity.reaches_nothing,
        ("shared/tools/extract.py", "from urllib.parse import urlsplit"),
        ("providers/http.py", "import socket"),
    ),
    *planted(
        purity.does_nothing_at_import,
        ("aws/handlers/ingress.py", "from aws.wiring import ports\ndef handle() -> None:\n    ports()"),
        ("aws/wiring.py", "from functools import cache\n@cache\ndef ports(): ..."),
        ("aws/handlers/ingress.py", "make = lambda: open('x')"),
    ),
    *planted(
        shape.says_what_it_tests,
        ("tests/core/test_policy.py", TEST + '    """A limit of 2.5 s holds, e.g. here."""'),
        ("tests/conftest.py", "def helper() -> None: ..."),
    ),
    *planted(
        shape.gives_reasons,
        ("tests/core/test_policy.py", "import pytest\npytest.skip('npm is not installed')"),
        ("tests/core/test_policy.py", "import pytest\npytest.importorskip('moto', reason='optional')"),
    ),
    *planted(
        shape.belongs_everywhere,
        ("host.json", '"path": "/ho' + 'me/site/wwwroot"'),
        ("README.md", "agentfabric run ~/some/wo" + "rk/folder"),
    ),
)
