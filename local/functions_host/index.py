"""What a function app contains, read once, as the Functions host reads it.

Refuses at start what the cloud would refuse or what this host cannot do, each with the function's name.
May know azure.functions' decorators; must not run a function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_CLIENT = "durableClient"
_IMPLICIT = frozenset({"$return", "context"})


class Binding(Protocol):
    """The part of an azure.functions binding that is read."""

    name: str
    type: str
    direction: int


class AppFunction(Protocol):
    """The part of an azure.functions function that is read."""

    def get_function_name(self) -> str | None: ...  # noqa: D102  the SDK's
    def get_user_function(self) -> Callable[..., Any]: ...  # noqa: D102  the SDK's
    def get_trigger(self) -> Any: ...  # noqa: ANN401, D102  the SDK's
    def get_bindings(self) -> list[Any]: ...  # noqa: D102  the SDK's


class App(Protocol):
    """A function app."""

    def get_functions(self) -> Iterable[Any]:
        """Return its functions; may be called once."""
        ...


@dataclass(frozen=True, slots=True)
class Function:
    """A function with what is needed to call it."""

    name: str
    call: Callable[..., Any]
    trigger: Mapping[str, Any]
    parameter: str
    clients: tuple[str, ...]
    wants_context: bool

    @property
    def kind(self) -> str:
        """The trigger's type, such as `httpTrigger`."""
        return str(self.trigger["type"])


def read(app: App) -> dict[str, Function]:
    """Return the functions of an app by name."""
    functions = [_function(function) for function in app.get_functions()]
    return {function.name: function for function in functions}


def _function(function: AppFunction) -> Function:
    name, trigger = function.get_function_name() or "", function.get_trigger()
    bindings = function.get_bindings()
    clients = tuple(binding.name for binding in bindings if binding.type == _CLIENT)
    declared = inspect.signature(function.get_user_function()).parameters
    _check_bindings(name, {binding.name for binding in bindings}, set(declared))
    _check_supported(name, trigger, bindings)
    return Function(
        name=name,
        call=_behind_clients(name, function.get_user_function(), clients),
        trigger=trigger.get_dict_repr(),
        parameter=trigger.name,
        clients=clients,
        wants_context="context" in declared and trigger.name != "context",
    )


def _check_bindings(name: str, bound: set[str], declared: set[str]) -> None:
    """Insist on what the cloud's worker insists on: parameters are bindings, bindings are parameters."""
    unlike = (bound ^ declared) - _IMPLICIT
    if unlike:
        raise ValueError(f"function {name!r}: parameters and bindings differ in {', '.join(sorted(unlike))}")


def _check_supported(name: str, trigger: Binding, bindings: Iterable[Binding]) -> None:
    others = [b for b in bindings if b is not trigger and b.type != _CLIENT and b.name != "$return"]
    if others:
        raise ValueError(f"function {name!r}: the local host has no {others[0].type} binding")


def _behind_clients(name: str, call: Callable[..., Any], clients: tuple[str, ...]) -> Callable[..., Any]:
    """Return the author's function from behind the SDK's wrapper that makes clients from text.

    The host makes the clients itself, so that their requests stay in this process.
    """
    for _ in clients:
        call = getattr(call, "client_function", call)
    if clients and not inspect.iscoroutinefunction(call):
        raise ValueError(f"function {name!r}: a durable client needs an async function")
    return call
