"""Asks the deployed function app what the tests want to know; knows azure-functions' own objects."""

from __future__ import annotations

import asyncio
import base64
import json
from importlib import import_module
from typing import Any

import azure.functions as func
import standin  # type: ignore[import-not-found]  # lies beside this file, on the path that boot.py makes


def main(given: dict[str, Any]) -> Any:
    """Do what `given` names."""
    return {"index": index, "message": message, "request": request}[given["do"]](given)


def index(_: dict[str, Any]) -> dict[str, str]:
    """Return each function's name and trigger, as the worker indexes them."""
    functions = import_module("function_app").app.get_functions()
    return {one.get_function_name(): one.get_trigger().type for one in functions}


class Hub:
    """A durable client whose hub knows no instance yet."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    async def get_status(self, _instance: str) -> None:
        """Return that there is none."""

    async def start_new(self, name: str, *, instance_id: str, client_input: Any) -> None:
        """Note what was started."""
        self.started.append([name, instance_id, client_input])


def message(given: dict[str, Any]) -> list[Any]:
    """Hand a queue's message to its function; return what that started."""
    hub, start = Hub(), import_module("azure.fabric.handlers.start")
    standin.memory().place(given["tenant"], given["task"])
    body = base64.b64decode(given["message"]["MessageText"])
    asyncio.run(start.on_review_message(func.QueueMessage(id="1", body=body), hub))
    return hub.started


def request(given: dict[str, Any]) -> list[Any]:
    """Hand an approver's decision to its function; return status and code."""
    asked = given["request"]
    body = json.dumps(asked["body"]).encode()
    made = func.HttpRequest(
        asked["method"], asked["url"], headers=asked["headers"], route_params=asked["params"], body=body
    )
    response = import_module("azure.fabric.handlers.approvals").decide(made)
    return [response.status_code, json.loads(response.get_body())["code"]]
