"""Asks deployed Lambda handlers what the tests want to know; knows the handlers and the stand-in."""

from __future__ import annotations

import base64
import json
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import standin  # type: ignore[import-not-found]  # lies beside this file, on the path that boot.py makes


def main(given: dict[str, Any]) -> Any:
    """Do what `given` names."""
    does = {"call": call, "extract": extract, "handlers": handlers, "run": run, "submit": submit}
    return does[given["do"]](given)


def handlers(_: dict[str, Any]) -> list[str]:
    """Import every handler file and return the handlers there are, as a template names them."""
    package = import_module("aws.handlers")
    found = [import_module(f"aws.handlers.{info.name}") for info in iter_modules(package.__path__)]
    return sorted(f"{module.__name__}.handler" for module in found if callable(getattr(module, "handler", None)))


def call(given: dict[str, Any]) -> Any:
    """Hand an envelope to a handler."""
    return import_module(f"aws.handlers.{given['handler']}").handler(given["event"], None)


def run(given: dict[str, Any]) -> Any:
    """Hand a lane's batch over while one task is there; add what it started to the answer."""
    standin.memory().place("acme", given["task"])
    return call(given) | {"started": standin.memory().started}


def extract(given: dict[str, Any]) -> list[str]:
    """Get the text of documents of all kinds; each is answered with its text or with the failure's name."""
    return [_text(name, base64.b64decode(content)) for name, content in given["documents"].items()]


def submit(given: dict[str, Any]) -> Any:
    """Submit a document through the front door."""
    documents = [_stored("report.txt", b"A report.")]
    body = {"entity": "package-a", "documents": documents, "taxonomy": _stored("general.toml", _taxonomy())}
    return call({"handler": "ingress", "event": given["event"] | {"body": json.dumps(body)}})


def _taxonomy() -> bytes:
    builtin: str = import_module("shared.taxonomies").builtin("general")
    return builtin.encode()


def _stored(name: str, content: bytes) -> Any:
    return standin.memory().write(content, "application/octet-stream", name).model_dump(mode="json")


def _text(name: str, content: bytes) -> str:
    asked = {"tenant": "local", "name": "extract", "arguments": {"document": _stored(name, content)}}
    try:
        output = call({"handler": "tool", "event": asked})
    except Exception as error:  # noqa: BLE001  the test compares texts, and this is none
        return repr(error)
    text: bytes = standin.memory().kept[output["text"]["sha256"]]
    return text.decode()
