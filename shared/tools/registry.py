"""Finding and running tools by name; a tool is one file in this folder.

Knows how a tool is declared and called. Imports a tool's file only when that tool is asked for, and
never anything that is not a tool's file.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ValidationError

import shared.tools
from shared.errors import NotFound, Permanent
from shared.ports import Documents, Models

Given = TypeVar("Given", bound=BaseModel)
Result = TypeVar("Result", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What a tool may reach: documents and a model."""

    documents: Documents
    models: Models


@dataclass(frozen=True, slots=True)
class Tool:
    """A typed function that a step or an agent calls: `takes` and `gives` are its models."""

    name: str
    description: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    function: Callable[[Any, Toolbox], BaseModel]
    cacheable: bool = True

    def run(self, arguments: Mapping[str, Any], toolbox: Toolbox) -> BaseModel:
        """Check the arguments and call the tool; Permanent names the argument that is wrong."""
        try:
            given = self.takes.model_validate(dict(arguments))
        except ValidationError as error:
            raise _complaint(self.name, error) from error
        except (TypeError, ValueError) as error:  # whatever it is, it is no mapping
            kind = type(arguments).__name__
            raise Permanent(f"tool {self.name} takes named arguments, not {kind}", code="invalid-arguments") from error
        return self.function(given, toolbox)

    def schema(self) -> dict[str, Any]:
        """Return what a model needs for calling the tool: name, description, parameters, result."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.takes.model_json_schema(),
            "returns": self.gives.model_json_schema(mode="serialization"),
        }


def tool(
    name: str, description: str, *, cacheable: bool = True
) -> Callable[[Callable[[Given, Toolbox], Result]], Callable[[Given, Toolbox], Result]]:
    """Declare a function as the tool of its file; the function itself stays a plain function.

    The file is named like the tool; the models are read from the function's annotations. `cacheable` says that the
    same question to a model may get the same answer again, for the same tenant.
    """

    def declare(function: Callable[[Given, Toolbox], Result]) -> Callable[[Given, Toolbox], Result]:
        hints = get_type_hints(function)
        takes = hints[next(iter(inspect.signature(function).parameters))]
        declared = Tool(name, description, takes, hints["return"], function, cacheable)
        function.__dict__["tool"] = declared
        return function

    return declare


def names() -> tuple[str, ...]:
    """Return the names of the tools there are, from the files of this folder, importing none of them."""
    files = (module.name for module in pkgutil.iter_modules(shared.tools.__path__))
    return tuple(sorted(name for name in files if not name.startswith("_") and name != "registry"))


@cache
def get(name: str) -> Tool:
    """Return the tool of that name; NotFound names those there are."""
    if name not in names():
        raise NotFound(f"no tool {name!r}; known: {', '.join(names())}")
    module = import_module(f"shared.tools.{name}")
    return cast("Tool", getattr(module, name).tool)


def schemas() -> list[dict[str, Any]]:
    """Return the schemas of all tools, for a model's function calling."""
    return [get(name).schema() for name in names()]


def _complaint(name: str, error: ValidationError) -> Permanent:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return Permanent(f"tool {name}: {first['msg']}{more}", code="invalid-arguments", where=where)
