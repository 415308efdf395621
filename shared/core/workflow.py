"""The workflows, as data: steps, what each takes, retries, fallbacks, the approval checkpoint.

Step Functions definitions are rendered from this table and the durable orchestrator walks it, so a
change here is a change everywhere. Attempts are counted as attempts; a renderer converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shared.core.approval import ApprovalPolicy, Level
from shared.errors import NotFound, Permanent

if TYPE_CHECKING:
    from shared.core.task import Task

HOUR = 3600
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step that failed for a passing reason is tried; intervals in seconds."""

    attempts: int = 4
    interval: float = 1.0
    backoff: float = 2.0
    max_interval: float = 30.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """The most tokens a step may send to and receive from models; its money is set aside for that."""

    most_in: int
    most_out: int


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call on one document.

    `takes` maps the tool's parameters to `document`, `taxonomy` or `<earlier step>.<field>`.
    `fallback` names the tool to use when every attempt failed; without one the document fails.
    """

    name: str
    tool: str
    takes: Mapping[str, str]
    retry: Retry = field(default_factory=Retry)
    timeout: int = 30
    fallback: str | None = None
    tokens: Tokens | None = None

    def arguments(self, task: Task, document: int, results: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tool's arguments; Permanent when an earlier step's result is missing."""
        return {name: _resolve(path, task, document, results) for name, path in self.takes.items()}


def _resolve(path: str, task: Task, document: int, results: Mapping[str, Any]) -> Any:  # noqa: ANN401  any JSON value
    if path == "document":
        return task.documents[document].model_dump(mode="json")
    if path == "taxonomy":
        return task.taxonomy.model_dump(mode="json")
    step, field_name = path.split(".")
    try:
        return results[step][field_name]
    except (KeyError, TypeError) as missing:
        raise Permanent(
            f"the result of {step} has no {field_name}", code="not-ready", where=f"results.{path}"
        ) from missing


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a human may be asked: when `when` (`<step>.<field>`) is true, policy decides who and how long."""

    when: str
    policy: ApprovalPolicy


@dataclass(frozen=True, slots=True)
class Workflow:
    """Steps in order, then the checkpoint, then the record.

    `max_documents` keeps a cancellation, which withdraws an approval per document, within the hundred rows of a
    DynamoDB or Azure Tables transaction (two rows an approval).

    A review that waits runs each document's pipeline as a whole by `pipeline_retry`, for minutes: a home store that is
    restarted is no document's fault. What it then writes it tries by `bookkeeping_retry`, for hours: giving up would
    leave a document without an ending.
    """

    name: str
    steps: tuple[Step, ...]
    checkpoint: Checkpoint
    max_documents: int = 40
    timeout: int = 240
    pipeline_retry: Retry = field(default_factory=lambda: Retry(attempts=10, max_interval=60.0))
    bookkeeping_retry: Retry = field(
        default_factory=lambda: Retry(attempts=60, interval=2.0, backoff=2.0, max_interval=600.0)
    )

    def step(self, name: str) -> Step:
        """Return the step of that name; NotFound names those there are."""
        for step in self.steps:
            if step.name == name:
                return step
        raise NotFound(f"no step {name!r} in {self.name}; known: {', '.join(step.name for step in self.steps)}")


def pipeline_input(tenant: str, task: str, document: int, run: int = 1) -> dict[str, Any]:
    """Return what an execution of the pipeline starts from: which document of which run, and no results yet."""
    return {"tenant": tenant, "task": task, "run": run, "document": document, "results": {}}


_MODEL_TOKENS = Tokens(most_in=16_000, most_out=512)

DOCUMENT_REVIEW = Workflow(
    name="document-review",
    steps=(
        Step("extract", tool="extract", takes=MappingProxyType({"document": "document"})),
        Step(
            "classify",
            tool="classify",
            takes=MappingProxyType({"text": "extract.text", "taxonomy": "taxonomy"}),
            tokens=_MODEL_TOKENS,
        ),
        Step(
            "summarise",
            tool="summarise",
            takes=MappingProxyType({"text": "extract.text", "taxonomy": "taxonomy"}),
            fallback="excerpt",
            tokens=_MODEL_TOKENS,
        ),
        Step(
            "policy",
            tool="policy",
            takes=MappingProxyType(
                {
                    "label": "classify.label",
                    "also": "classify.also",
                    "score": "classify.score",
                    "taxonomy": "taxonomy",
                }
            ),
        ),
    ),
    checkpoint=Checkpoint(
        when="policy.approval_required",
        policy=ApprovalPolicy(
            levels=(Level(approvers=("reviewer",), wait=3 * DAY), Level(approvers=("owner",), wait=4 * DAY)),
            default="rejected",
        ),
    ),
)

WORKFLOWS: Mapping[str, Workflow] = MappingProxyType({flow.name: flow for flow in (DOCUMENT_REVIEW,)})


def workflow(name: str) -> Workflow:
    """Return the workflow of that name; NotFound names those there are."""
    found = WORKFLOWS.get(name)
    if found is None:
        raise NotFound(f"no workflow {name!r}; known: {', '.join(WORKFLOWS)}")
    return found
