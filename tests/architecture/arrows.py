"""Who may import whom, and where an SDK's name may stand.

Pure functions from a Source to sentences about what is wrong; an empty list means the rule is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.architecture.source import Source

# What stands to the left: each part of shared/ and the parts it may import besides itself.
ARROWS = {
    "errors": frozenset[str](),
    "problems": frozenset({"errors"}),
    "events": frozenset({"errors"}),
    "core": frozenset({"errors", "events"}),
    "ports": frozenset({"errors", "events", "core"}),
    "models": frozenset({"errors", "core", "ports"}),
    "tools": frozenset({"errors", "events", "core", "ports"}),
    "taxonomies": frozenset({"errors"}),
    "render": frozenset({"errors", "events", "core", "ports", "models", "tools"}),
    "app": frozenset({"errors", "events", "core", "ports", "models", "tools", "taxonomies"}),
}
CLOUDS = {"aws": ("aws",), "azure": ("azure", "fabric"), "gcp": ("gcp",)}
SDKS = {
    "aws": ("boto3", "botocore", "aws_lambda_powertools"),
    "azure": ("azure.",),
    "gcp": ("google.", "functions_framework", "flask", "werkzeug"),
}
SDK_PLACES = frozenset({"adapters", "wire", "handlers", "wiring"})
SDK_LEVELS = frozenset(
    {
        *(
            "ai",
            "appconfiguration",
            "cli",
            "common",
            "core",
            "cosmos",
            "data",
            "durable_functions",
            "eventgrid",
        ),
        *(
            "eventhub",
            "functions",
            "identity",
            "keyvault",
            "mgmt",
            "monitor",
            "profiles",
            "search",
            "servicebus",
        ),
        *("storage", "synapse"),
    }
)


def cloud_of(parts: tuple[str, ...]) -> str:
    """Name the cloud that a path or a dotted name belongs to, or nothing."""
    return next((cloud for cloud, start in CLOUDS.items() if parts[: len(start)] == start), "")


def keeps_the_arrows(source: Source) -> list[str]:
    """Inside shared/ each part imports only what stands to its left, and nothing of the project outside."""
    if source.parts[0] != "shared" or source.parts == ("shared", "__init__"):
        return []
    part = source.parts[1]
    if part not in ARROWS:
        return [source.at(source.tree, f"shared/{part} has no place in the arrows yet: give it one in ARROWS")]
    allowed = ARROWS[part] | {part}
    wrong = []
    for node, name in source.imports():
        names = tuple(name.split("."))
        if names[0] == "shared" and names[1] not in allowed:
            wrong.append(source.at(node, f"shared/{part} may not import {name}"))
        elif names[0] in {"local", "function_app", "tests", "benchmarks", "providers"} or cloud_of(names):
            wrong.append(source.at(node, f"shared/ knows no cloud, no engine and no provider: {name}"))
    return wrong


def keeps_clouds_apart(source: Source) -> list[str]:
    """A cloud imports shared/ and itself: no other cloud, and never local/."""
    cloud = own_cloud(source)
    if not cloud:
        return []
    return [
        source.at(node, f"{cloud} may not import {name}")
        for node, name in source.imports()
        if name.split(".")[0] in {"local", "tests"} or cloud_of(tuple(name.split("."))) not in {"", cloud}
    ]


def keeps_providers_apart(source: Source) -> list[str]:
    """providers/ imports shared/ and itself: no cloud, no engine, and no SDK but the one that signs for Bedrock."""
    if source.parts[0] != "providers":
        return []
    return [
        source.at(node, f"providers/ may not import {name}")
        for node, name in source.imports()
        if name.split(".")[0] in {"local", "function_app", "tests", "benchmarks"}
        or cloud_of(tuple(name.split(".")))
        or (sdk_owner(name) and not (source.path == "providers/bedrock.py" and name.startswith("botocore.")))
    ]


def keeps_sdks_at_the_edge(source: Source) -> list[str]:
    """SDKs are named where a cloud is met (adapters, wire, handlers, wiring), and only that cloud's own."""
    top = source.parts[0]
    if top not in {"shared", *CLOUDS} and not own_cloud(source):
        return []
    cloud = own_cloud(source) if at_the_edge(source) else ""
    return [
        source.at(node, f"{name} belongs to {owner}'s adapters, wire, handlers and wiring")
        for node, name in source.imports()
        if (owner := sdk_owner(name)) and owner != cloud
    ]


def own_cloud(source: Source) -> str:
    """Name the cloud a file belongs to; Azure wants its entry point at the root."""
    return "azure" if source.path == "function_app.py" else cloud_of(source.parts)


def at_the_edge(source: Source) -> bool:
    """Tell whether a file is one of those where a cloud is met."""
    if source.path in {"function_app.py", "gcp/main.py"}:
        return True
    inside = source.parts[len(CLOUDS[own_cloud(source)]) :] if own_cloud(source) else ()
    return bool(inside) and inside[0] in SDK_PLACES


def sdk_owner(name: str) -> str:
    """Name the cloud whose SDK a dotted name belongs to, or nothing."""
    if cloud_of(tuple(name.split("."))):
        return ""
    return next((cloud for cloud, names in SDKS.items() if f"{name}.".startswith(dotted(names))), "")


def dotted(names: tuple[str, ...]) -> tuple[str, ...]:
    """End each name with a dot, so that `googlemaps` is not taken for `google`."""
    return tuple(name if name.endswith(".") else f"{name}." for name in names)


def leaves_azure_a_namespace(path: str) -> list[str]:
    """azure/ has no __init__.py and no folder or module named like a level of the SDK."""
    parts = path.split("/")
    if parts[0] != "azure" or not path.endswith(".py"):
        return []
    if parts[1] == "__init__.py":
        return [f"{path}: with this file `import azure.functions` finds our folder instead of the SDK"]
    level = parts[1].removesuffix(".py")
    return [f"{path}: azure/{level} hides the SDK's azure.{level}"] if level in SDK_LEVELS else []
