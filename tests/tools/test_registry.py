from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.errors import NotFound, Permanent
from shared.events.document import DocumentRef
from shared.tools.excerpt import ExcerptInput, excerpt
from shared.tools.registry import Toolbox, get, names, schemas

Put = Callable[..., DocumentRef]

LOADED = "import json, sys; import shared.tools.registry as r; r.names(); print(json.dumps(list(sys.modules)))"
ALL_LOADED = LOADED.replace("r.names()", "r.schemas()")
HEAVY = {"bs4", "charset_normalizer", "identify", "lxml", "markdown_it", "pypdf"}


def loaded_by(code: str, root: Path) -> set[str]:
    """Return the modules that a fresh interpreter has after this code."""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    return {str(name) for name in json.loads(done.stdout)}


def test_the_tools_are_the_files() -> None:
    """A tool's name is its file's name, and helpers are no tools."""
    assert names() == ("classify", "excerpt", "extract", "policy", "summarise")


def test_listing_imports_no_tool(root: Path) -> None:
    """Listing the names imports neither a tool nor a library that a tool needs."""
    loaded = loaded_by(LOADED, root)
    assert not loaded & HEAVY
    assert not {f"shared.tools.{name}" for name in names()} & loaded


def test_schemas_need_no_heavy_library(root: Path) -> None:
    """Even describing every tool to a model leaves the document libraries alone."""
    assert not loaded_by(ALL_LOADED, root) & HEAVY


@pytest.mark.parametrize("name", ["registry", "_reading", "os", "..errors", "", "Extract", "extract.py"])
def test_an_unknown_name_is_not_imported(name: str) -> None:
    """Whatever is no tool's name is refused with the names there are."""
    with pytest.raises(NotFound, match="classify, excerpt, extract, policy, summarise"):
        get(name)


@pytest.mark.parametrize("name", names())
def test_a_schema_says_all_a_model_needs(name: str) -> None:
    """Each schema is JSON with name, description, closed parameters and result."""
    schema = json.loads(json.dumps(get(name).schema()))
    assert schema["name"] == name
    assert schema["description"].endswith((".", "why."))
    assert schema["parameters"]["additionalProperties"] is False
    assert set(schema["parameters"]["required"]) <= set(schema["parameters"]["properties"])
    assert schema["returns"]["type"] == "object"


def test_there_is_a_schema_for_every_tool() -> None:
    """The list for function calling holds every tool once."""
    assert tuple(schema["name"] for schema in schemas()) == names()


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({}, "document"),
        ({"document": "x"}, "document"),
        ({"document": {"uri": "blob:x", "sha256": "zz", "size": 1}}, "document.sha256"),
        ({"document": {"uri": "blob:x", "sha256": "0" * 64, "size": -1}}, "document.size"),
        ({"document": {"uri": "no uri", "sha256": "0" * 64, "size": 1}}, "document.uri"),
    ],
)
def test_a_wrong_argument_is_named(arguments: Mapping[str, Any], where: str, toolbox: Toolbox) -> None:
    """What is wrong with the arguments is a Permanent error with the field's path."""
    with pytest.raises(Permanent) as caught:
        get("extract").run(arguments, toolbox)
    assert (caught.value.code, caught.value.where) == ("invalid-arguments", where)


def test_an_unknown_argument_is_refused(put: Put, toolbox: Toolbox) -> None:
    """An argument that the tool does not have is not ignored."""
    with pytest.raises(Permanent, match=r"document_url.*not permitted"):
        get("extract").run({"document": put("x"), "document_url": "x"}, toolbox)


@pytest.mark.parametrize("arguments", [None, 7, ["document"], "document"])
def test_arguments_must_be_named(arguments: Any, toolbox: Toolbox) -> None:
    """A list, a text or nothing are no arguments."""
    with pytest.raises(Permanent, match="takes named arguments"):
        get("extract").run(arguments, toolbox)


def test_arguments_may_come_as_json(put: Put, toolbox: Toolbox) -> None:
    """A tool called with plain JSON answers with what is plain JSON, too."""
    given = json.loads(json.dumps({"document": put("Plain text.").model_dump(mode="json")}))
    answer = get("extract").run(given, toolbox).model_dump(mode="json")
    assert json.loads(json.dumps(answer))["characters"] == 11


def test_a_tool_stays_a_plain_function(put: Put, toolbox: Toolbox) -> None:
    """The decorated function takes its input model and returns its output model."""
    text = "A sentence that is long enough to be quoted."
    assert excerpt(ExcerptInput(text=put(text)), toolbox).summary == text


def test_a_missing_document_is_not_found(put: Put, toolbox: Toolbox, documents: Any) -> None:
    """What the store says about a missing document reaches the caller."""
    ref = put("gone")
    documents.kept.clear()
    with pytest.raises(NotFound):
        get("extract").run({"document": ref}, toolbox)
