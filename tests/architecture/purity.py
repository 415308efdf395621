"""What code may not touch where: the environment, clocks, chance, logs, files, clients at import.

Pure functions from a Source to sentences about what is wrong; an empty list means the rule is kept.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.architecture.arrows import CLOUDS, own_cloud, sdk_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.architecture.source import Source

ENVIRONMENT = frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"})
IMPURE_MODULES = frozenset(
    {
        *(
            "asyncio",
            "http",
            "logging",
            "os",
            "random",
            "secrets",
            "shutil",
            "socket",
            "sqlite3",
            "subprocess",
        ),
        *("tempfile", "threading", "time", "urllib.request"),
    }
)
OUTSIDE = frozenset(
    {
        *("aiohttp", "asyncio", "boto3", "ctypes", "ftplib", "http", "httpx", "multiprocessing", "os", "providers"),
        *("requests", "shutil", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "urllib.request", "urllib3"),
    }
)
IMPURE_NAMES = frozenset(
    {
        *("uuid.uuid1", "uuid.uuid4", "open", "print", "input", "datetime.date.today"),
        *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
    }
)
FILE_METHODS = frozenset({"read_text", "read_bytes", "write_text", "write_bytes", "open", "unlink", "mkdir"})
LAZY_SDKS = ("boto3.", "botocore.", "google.cloud.", "azure.storage.", "azure.data.")


def leaves_the_environment_to_wiring(source: Source) -> list[str]:
    """Only a cloud's wiring reads the environment; local/ is a place to run, and may."""
    if source.parts[0] not in {"shared", "providers"} and not own_cloud(source):
        return []
    if source.parts[0] not in {"shared", "providers"} and "wiring" in source.parts:
        return []
    return [
        source.at(node, f"{name}: only wiring reads the environment")
        for node, name in (*source.imports(), *source.uses())
        if name in ENVIRONMENT
    ]


def is_pure(source: Source) -> list[str]:
    """shared/core and shared/events take time, chance and content as arguments, and say nothing to a log."""
    if source.parts[:2] not in {("shared", "core"), ("shared", "events")}:
        return []
    return [
        *(
            source.at(node, f"imports {name}: nothing here does I/O, reads a clock, or draws lots")
            for node, name in source.imports()
            if any(f"{name}.".startswith(f"{module}.") for module in IMPURE_MODULES)
        ),
        *(
            source.at(node, f"{name}: time, ids and content are arguments here")
            for node, name in (*source.imports(), *source.uses())
            if name in IMPURE_NAMES
        ),
        *(
            source.at(node, f".{node.func.attr}() touches a file")
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILE_METHODS
        ),
    ]


def reaches_nothing(source: Source) -> list[str]:
    """A tool has its toolbox and nothing else: no network, no process, no file, so that none can do what lasts."""
    if source.parts[:2] != ("shared", "tools"):
        return []
    return [
        source.at(node, f"imports {name}: a tool reaches documents and a model through its toolbox alone")
        for node, name in source.imports()
        if any(f"{name}.".startswith(f"{module}.") for module in OUTSIDE)
    ]


def does_nothing_at_import(source: Source) -> list[str]:
    """Importing a handler makes no client and asks for no ports: a cold start pays for what it uses."""
    if not own_cloud(source):
        return []
    return [
        source.at(node, f"{name}(…) runs at import: put it behind a cached function")
        for node in calls_at_import(source.tree)
        if (name := source.dotted(node.func)) and runs_too_early(name)
    ]


def runs_too_early(name: str) -> bool:
    """Tell whether a call makes clients or reads the environment."""
    if name in ENVIRONMENT or name.startswith(LAZY_SDKS) or name == "open":
        return True
    wirings = tuple(f"{'.'.join(start)}.wiring.ports" for start in CLOUDS.values())
    return not sdk_owner(name) and (name in {"ports", "wiring.ports"} or name.startswith(wirings))


def calls_at_import(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls that importing a module makes: what stands in functions and lambdas waits."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif isinstance(node, ast.ClassDef) or not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)
