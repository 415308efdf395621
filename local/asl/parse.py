"""Definitions, read strictly: from the JSON of a state machine to compiled states.

Knows every field that may stand in a state and refuses all others, saying where; what the service would
refuse at deployment is refused here. Runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from local.asl import states, work
from local.asl.choice import compile_rule, instant
from local.asl.failures import Catcher, Json, Recovery, Retrier, broken, error_names
from local.asl.paths import compile_path, compile_result_path, compile_template, compile_value, growth
from local.asl.scope import STATE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.asl.paths import Reader

Fields = Mapping[str, Json]

_INVOKE = re.compile(r"arn:[\w-]+:states:::lambda:invoke")
_FUNCTION = re.compile(r"arn:[\w-]+:lambda:[\w-]*:\d*:function:\S+|\$\{[\w.]+\}")
_LONGEST_NAME = 80
_EVERYWHERE = frozenset({"Type", "Comment", "QueryLanguage"})
_PATHS = frozenset({"InputPath", "OutputPath"})
_FLOW = _PATHS | {"Next", "End"}
_WORK = _FLOW | {"Parameters", "ResultSelector", "ResultPath", "Retry", "Catch"}
_RETRIER = frozenset({
    "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy",
    "Comment",
})  # fmt: skip
_FIELDS: dict[str, frozenset[str]] = {
    "Pass": _FLOW | {"Result", "Parameters", "ResultPath"},
    "Task": _WORK | {"Resource", "TimeoutSeconds", "TimeoutSecondsPath"},
    "Choice": _PATHS | {"Choices", "Default"},
    "Wait": _FLOW | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": _PATHS,
    "Fail": frozenset({"Error", "ErrorPath", "Cause", "CausePath"}),
    "Parallel": _WORK | {"Branches"},
    "Map": _WORK | {"ItemsPath", "ItemSelector", "ItemProcessor", "Iterator", "MaxConcurrency", "MaxConcurrencyPath"},
}


def graph(fields: Json, where: str, taken: set[str], also: frozenset[str] = frozenset()) -> states.Graph:
    """Read StartAt and States; `taken` holds the names that stand elsewhere in the machine."""
    only(fields, {"StartAt", "States", "Comment"} | also, where)
    found, inside = fields.get("States"), f"{where}/States"
    if not isinstance(found, dict) or not found:
        raise broken(inside, "must be an object with at least one state")
    goals = {f"{where}/StartAt": fields.get("StartAt")}
    for name, state in found.items():
        _check(name, state, f"{inside}/{name}", taken)
        goals |= _goals(state, f"{inside}/{name}")
    for place, goal in goals.items():
        if not isinstance(goal, str) or goal not in found:
            raise broken(place, f"{goal!r} is not one of the states here")
    for name in sorted(found.keys() - goals.values()):
        raise broken(f"{inside}/{name}", "no state leads there")
    compiled = {name: _compiled(name, state, f"{inside}/{name}", taken) for name, state in found.items()}
    return states.Graph(fields["StartAt"], compiled)


def _compiled(name: str, state: Fields, where: str, taken: set[str]) -> states.State:
    return _READERS[state["Type"]](name, state, where, taken)


def _check(name: str, state: Json, where: str, taken: set[str]) -> None:
    """Check what all states have in common."""
    if len(name) > _LONGEST_NAME or name in taken:
        raise broken(where, "a state's name is unique and has at most 80 characters")
    taken.add(name)
    kind = state.get("Type") if isinstance(state, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise broken(f"{where}/Type", f"{kind!r} is not a state type")
    only(state, _FIELDS[kind] | _EVERYWHERE, where)
    if state.get("QueryLanguage", "JSONPath") != "JSONPath":
        raise broken(f"{where}/QueryLanguage", "only JSONPath is interpreted")
    if "End" in _FIELDS[kind] and (state.get("End") is True) == ("Next" in state):
        raise broken(where, "needs either Next or End, and not both")


def _goals(state: Fields, where: str) -> dict[str, Json]:
    """Where a state can lead, by the field that says so."""
    goals = {f"{where}/{key}": state[key] for key in ("Next", "Default") if key in state}
    for key in ("Choices", "Catch"):
        for at, entry in enumerate(listed(state, key, where)):
            goals[f"{where}/{key}[{at}]/Next"] = entry.get("Next")
    return goals


def only(fields: Json, allowed: set[str] | frozenset[str], where: str) -> None:
    """Refuse everything but an object with these fields."""
    if not isinstance(fields, dict):
        raise broken(where, "must be an object")
    for name in sorted(fields.keys() - allowed):
        raise broken(f"{where}/{name}", "is not a field this runner knows")


def one_of(fields: Fields, names: set[str], where: str, *, least: int = 1) -> str | None:
    """Return the one name that is there; `least` 0 allows none."""
    found = sorted(names & fields.keys())
    if not least <= len(found) <= 1:
        raise broken(where, f"needs {'exactly' if least else 'at most'} one of {', '.join(sorted(names))}")
    return found[0] if found else None


def whole(value: Json, where: str, *, least: int = 1) -> int:
    """Read an integer from a definition."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise broken(where, f"must be an integer of at least {least}")
    return value


def listed(fields: Fields, name: str, where: str) -> list[Json]:
    """Read a list of objects; without the field it is empty."""
    entries = fields.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise broken(f"{where}/{name}", "must be a list of objects")
    return entries


def _path(fields: Fields, name: str, where: str) -> Reader | None:
    """Compile InputPath or OutputPath: `$` is the default, null stands for an empty object."""
    path = fields.get(name, "$")
    if path is None:
        return lambda _data, _context: {}
    read = compile_path(path, f"{where}/{name}")
    return None if path == "$" else read


def _flow(name: str, fields: Fields, where: str, *, parameters: str = "Parameters") -> states.Flow:
    put = fields.get("ResultPath", "$")
    return states.Flow(
        state=name,
        next=fields.get("Next"),
        input_path=_path(fields, "InputPath", where),
        parameters=_template(fields, parameters, where),
        selector=_template(fields, "ResultSelector", where),
        result_path=None if put == "$" else compile_result_path(put, f"{where}/ResultPath"),
        result_path_size=len(put or "") * 6 + 16,
        output_path=_path(fields, "OutputPath", where),
        remeasure=any(str(fields.get(key)).startswith("$$") for key in _PATHS),
    )


def _template(fields: Fields, name: str, where: str) -> states.Template | None:
    if name not in fields:
        return None
    fill = compile_template(fields[name], f"{where}/{name}")
    fixed, times = growth(fields[name]) or (STATE_BYTES + 1, 0)
    return states.Template(fill, fixed, times)


def _recovery(fields: Fields, where: str) -> Recovery:
    retries, catches = listed(fields, "Retry", where), listed(fields, "Catch", where)
    return Recovery(
        tuple(_retrier(retries, at, f"{where}/Retry[{at}]") for at in range(len(retries))),
        tuple(_catcher(catches, at, f"{where}/Catch[{at}]") for at in range(len(catches))),
    )


def _retrier(entries: list[Json], at: int, where: str) -> Retrier:
    entry = entries[at]
    only(entry, _RETRIER, where)
    backoff = entry.get("BackoffRate", 2.0)
    if isinstance(backoff, bool) or not isinstance(backoff, int | float) or backoff < 1:
        raise broken(f"{where}/BackoffRate", "must be a number of at least 1.0")
    longest = entry.get("MaxDelaySeconds")
    return Retrier(
        error_names(entries, at, where),
        retries=whole(entry.get("MaxAttempts", 3), f"{where}/MaxAttempts", least=0),
        interval=whole(entry.get("IntervalSeconds", 1), f"{where}/IntervalSeconds"),
        backoff=backoff,
        longest=inf if longest is None else whole(longest, f"{where}/MaxDelaySeconds"),
    )


def _catcher(entries: list[Json], at: int, where: str) -> Catcher:
    entry = entries[at]
    only(entry, {"ErrorEquals", "ResultPath", "Next", "Comment"}, where)
    put = compile_result_path(entry.get("ResultPath", "$"), f"{where}/ResultPath")
    return Catcher(error_names(entries, at, where), put, entry["Next"])


def _pass(name: str, fields: Fields, where: str, _taken: set[str]) -> states.State:
    return states.Pass(_flow(name, fields, where), fields.get("Result"), "Result" in fields)


def _succeed(name: str, fields: Fields, where: str, _taken: set[str]) -> states.State:
    return states.Succeed(_flow(name, fields, where))


def _fail(_name: str, fields: Fields, where: str, _taken: set[str]) -> states.State:
    return states.Fail(_text(fields, "Error", where), _text(fields, "Cause", where))


def _text(fields: Fields, name: str, where: str) -> Reader | None:
    given = one_of(fields, {name, f"{name}Path"}, where, least=0)
    if given is None:
        return None
    if given == name and not isinstance(fields[name], str):
        raise broken(f"{where}/{name}", "must be a string")
    if given == name:
        return compile_template(fields[name], where)
    return compile_value(fields[given], f"{where}/{given}")


def _choice(name: str, fields: Fields, where: str, _taken: set[str]) -> states.State:
    choices = listed(fields, "Choices", where)
    if not choices:
        raise broken(f"{where}/Choices", "needs at least one rule")
    rules = [(compile_rule(rule, f"{where}/Choices[{at}]"), rule["Next"]) for at, rule in enumerate(choices)]
    return states.Choice(_flow(name, fields, where), tuple(rules), fields.get("Default"))


def _wait(name: str, fields: Fields, where: str, _taken: set[str]) -> states.State:
    given = one_of(fields, {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"}, where)
    value, inside = fields[str(given)], f"{where}/{given}"
    if given == "Seconds":
        whole(value, inside, least=0)
    if given == "Timestamp" and instant(value) is None:
        raise broken(inside, "must be a timestamp such as 2025-01-31T10:00:00Z")
    read = compile_path(value, inside) if str(given).endswith("Path") else compile_template(value, inside)
    until = states.seconds_of if str(given).startswith("Seconds") else states.seconds_until
    return states.Wait(_flow(name, fields, where), until(read))


def _task(name: str, fields: Fields, where: str, _taken: set[str]) -> states.State:
    given = one_of(fields, {"TimeoutSeconds", "TimeoutSecondsPath"}, where, least=0)
    if given == "TimeoutSeconds":
        whole(fields[given], f"{where}/{given}")
    timeout = compile_template if given == "TimeoutSeconds" else compile_path
    return work.Task(
        flow=_flow(name, fields, where),
        recovery=_recovery(fields, where),
        function=_function(fields, where),
        timeout=None if given is None else timeout(fields[given], f"{where}/{given}"),
    )


def _function(fields: Fields, where: str) -> str | None:
    resource = str(fields.get("Resource"))
    if _FUNCTION.fullmatch(resource):
        return resource
    if not _INVOKE.fullmatch(resource):
        raise broken(f"{where}/Resource", f"{resource!r} is not a Lambda function, and only those are called")
    parameters = fields.get("Parameters")
    only(parameters, {"FunctionName", "FunctionName.$", "Payload", "Payload.$"}, f"{where}/Parameters")
    one_of(parameters or {}, {"FunctionName", "FunctionName.$"}, f"{where}/Parameters")
    return None


def _parallel(name: str, fields: Fields, where: str, taken: set[str]) -> states.State:
    branches = listed(fields, "Branches", where)
    if not branches:
        raise broken(f"{where}/Branches", "needs at least one branch")
    return work.Parallel(
        flow=_flow(name, fields, where),
        recovery=_recovery(fields, where),
        branches=tuple(graph(branch, f"{where}/Branches[{at}]", taken) for at, branch in enumerate(branches)),
    )


def _map(name: str, fields: Fields, where: str, taken: set[str]) -> states.State:
    processor = str(one_of(fields, {"ItemProcessor", "Iterator"}, where))
    selector = one_of(fields, {"ItemSelector", "Parameters"}, where, least=0)
    config = fields[processor].get("ProcessorConfig", {}) if isinstance(fields[processor], dict) else {}
    if config.get("Mode", "INLINE") != "INLINE":
        raise broken(f"{where}/{processor}/ProcessorConfig/Mode", "only INLINE is interpreted")
    items = fields.get("ItemsPath", "$")
    return work.Map(
        flow=_flow(name, fields, where, parameters=""),
        recovery=_recovery(fields, where),
        processor=graph(fields[processor], f"{where}/{processor}", taken, frozenset({"ProcessorConfig"})),
        items=None if items == "$" else compile_path(items, f"{where}/ItemsPath"),
        item=None if selector is None else compile_template(fields[selector], f"{where}/{selector}"),
    )


_READERS: dict[str, Callable[[str, Any, str, set[str]], states.State]] = {
    "Pass": _pass,
    "Task": _task,
    "Choice": _choice,
    "Wait": _wait,
    "Succeed": _succeed,
    "Fail": _fail,
    "Parallel": _parallel,
    "Map": _map,
}
