"""Lambda's artefact, as `sam build` made it, unpacked beside nothing but its layer."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from tests.packaging.deployed import Deployed, relative
from tools import package

if TYPE_CHECKING:
    from pathlib import Path

RECORDED = {"AGENTFABRIC_AUTH": "none"}  # a recorded token has expired
STANDIN = {"AGENTFABRIC_PORTS": "standin:ports", **RECORDED}


def sample(root: Path, name: str) -> dict[str, Any]:
    """Return a recorded envelope."""
    found: dict[str, Any] = json.loads((root / "tests/samples/aws" / name).read_text(encoding="utf-8"))
    return found


def pdf() -> bytes:
    """Return a PDF that says `portable`."""
    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    named = DictionaryObject({NameObject(key): NameObject(value) for key, value in font.items()})
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): named})}
    )
    stream = DecodedStreamObject()
    stream.set_data(b"BT /F1 12 Tf 20 200 Td (portable) Tj ET")
    page[NameObject("/Contents")] = writer._add_object(stream)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


DOCUMENTS = {
    "a.txt": (b"plain", "plain"),
    "a.md": (b"# marked\n\n*down*", "marked\n\ndown"),
    "a.html": (b"<!doctype html><html><body><p>hyper</p></body></html>", "hyper"),
    "a.pdf": (pdf(), "portable"),
    "b.txt": ("Привет, как дела? Это обычный текст на русском языке.".encode("cp1251"), "Привет"),
}


def extracted(deployed: Deployed) -> list[str]:
    """Return the texts that the deployed tool finds in documents of all kinds."""
    given = {name: base64.b64encode(content).decode() for name, (content, _) in DOCUMENTS.items()}
    texts: list[str] = deployed.asked("amazon", {"do": "extract", "documents": given}, STANDIN)
    return texts


def lost(deployed: Deployed) -> list[str]:
    """Return the imports of Lambda's code that lead nowhere."""
    files = sorted(relative(deployed.folder, deployed.folder.glob("aws/**/*.py")))
    files += sorted(relative(deployed.folder, deployed.folder.glob("shared/tools/*.py")))
    found: list[str] = deployed.asked("imports", {"root": [str(deployed.folder)], "files": files})
    return found


def test_each_function_holds_the_same_code(aws_build: Path) -> None:
    """Every function carries the code of the others, so that what holds for one holds for all."""
    functions = {folder.name: read(folder) for folder in aws_build.glob("*Function")}
    assert {name for name, code in functions.items() if code != functions["IngressFunction"]} == set()


def read(folder: Path) -> dict[Path, bytes]:
    """Return a folder's files."""
    return {path.relative_to(folder): path.read_bytes() for path in package.every_file(folder)}


def test_every_handler_imports(aws_runtime: Deployed, aws_build: Path) -> None:
    """Each handler that the template names imports without a setting."""
    template = (aws_build / "template.yaml").read_text(encoding="utf-8")
    deployed = sorted(re.findall(r"Handler: (aws\.handlers\.\w+\.handler)", template))
    assert deployed
    assert set(deployed) <= set(aws_runtime.asked("amazon", {"do": "handlers"}))


@pytest.mark.parametrize("handler", ["ingress", "tool"])
def test_a_request_nobody_vouches_for(aws: Deployed, root: Path, handler: str) -> None:
    """The recorded request without its authorizer's claims is answered 401."""
    event = sample(root, "http_api.json")
    event["requestContext"].pop("authorizer")
    answer = aws.asked("amazon", {"do": "call", "handler": handler, "event": event}, STANDIN)
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (401, "unauthenticated")


def test_a_submission_is_accepted(aws: Deployed, root: Path) -> None:
    """The recorded API Gateway event, with a submission in its body, is answered 202."""
    answer = aws.asked("amazon", {"do": "submit", "event": sample(root, "http_api.json")}, STANDIN)
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (202, "admitted")


def test_a_batch_is_read(aws: Deployed, root: Path) -> None:
    """The recorded Kinesis batch is handled to its end."""
    event = sample(root, "kinesis.json")
    assert aws.asked("amazon", {"do": "call", "handler": "dispatch", "event": event}, STANDIN) == {
        "batchItemFailures": []
    }


def test_a_lane_is_read(aws: Deployed, root: Path) -> None:
    """A message from a lane starts its task's pipeline; one of a task that nobody knows cannot be buried here."""
    event = sample(root, "lane.json")
    task = json.loads(event["Records"][0]["body"])["taskid"]
    asked = {"do": "run", "handler": "run", "event": event}
    assert aws.asked("amazon", asked | {"task": task}, STANDIN) == {"batchItemFailures": [], "started": [f"{task}.1"]}
    message = event["Records"][0]["messageId"]
    again = {"batchItemFailures": [{"itemIdentifier": message}], "started": []}
    assert aws.asked("amazon", asked | {"task": "another"}, STANDIN) == again


def test_every_kind_of_document_is_read(aws: Deployed) -> None:
    """Text, Markdown, HTML, PDF and old encodings are read by what the layer brings."""
    texts = extracted(aws)
    expected = [text for _, text in DOCUMENTS.values()]
    assert [text[: len(start)] for text, start in zip(texts, expected, strict=True)] == expected


def test_every_import_leads_somewhere(aws_runtime: Deployed) -> None:
    """Whatever Lambda's code imports, now or later, is in its folder, in its layer or in Lambda's runtime."""
    assert lost(aws_runtime) == []


def test_a_missing_dependency_is_noticed(aws_runtime: Deployed, tmp_path: Path) -> None:
    """A layer without one package is reported by the files that need it."""
    layer = tmp_path / "python"
    shutil.copytree(aws_runtime.path[1], layer, ignore=shutil.ignore_patterns("pypdf", "charset_normalizer"))
    broken = Deployed(aws_runtime.python, (aws_runtime.folder, layer))
    assert lost(broken) == ["shared/tools/_decoding.py: charset_normalizer", "shared/tools/_formats.py: pypdf"]
    assert "unforeseen ModuleNotFoundError" in extracted(broken)[3]


def test_settings_that_are_missing(aws_runtime: Deployed, root: Path) -> None:
    """Without its settings the front door answers 500, and the log names the kind of error."""
    event = sample(root, "http_api.json") | {"routeKey": "GET /tasks"}
    done = aws_runtime.tried("amazon", {"do": "call", "handler": "ingress", "event": event}, RECORDED)
    assert json.loads(done.stdout.splitlines()[-1])["answer"]["statusCode"] == 500
    noted = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [(line["message"], line["error"]) for line in noted] == [("unforeseen", "KeyError")]


def test_who_trusts_nobody_lets_nobody_in(aws: Deployed, root: Path) -> None:
    """A function that was not told whose tokens to believe answers 500, whatever its authorizer let through."""
    event = sample(root, "http_api.json") | {"routeKey": "GET /tasks"}
    settings = {"AGENTFABRIC_PORTS": "standin:ports"}
    answer = aws.asked("amazon", {"do": "call", "handler": "ingress", "event": event}, settings)
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (500, "not-configured")
