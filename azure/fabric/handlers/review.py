"""The review of a task as durable orchestrations: fan-out, fan-in, and a checkpoint for each human decision.

Replayed from the start at every step: no clock, no ids, no I/O here. How often and how patiently is the workflow
table's to say, whose name comes with the input. What the SDK needs minded:
one sub-orchestration per document that returns value or error (a caught failure of `task_all` derails the
replay); one wait per checkpoint, whose event no other checkpoint shares; timers of at most a day (longer ones
cannot be cancelled), each cancelled when the event wins (one that is forgotten keeps the instance running).
"""

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df

from azure.fabric import names
from azure.fabric.handlers.activities import FAILED, NEEDS_APPROVAL, PENDING, RECORDED
from azure.fabric.wire import DocumentOf, Outcome, Review, decoded
from shared.core.workflow import DOCUMENT_REVIEW, Retry, Workflow, workflow

SLICE = 50
LONGEST_WAIT = timedelta(days=1)
SHORTEST_WAIT = timedelta(seconds=1)
AFTER_EVENT = timedelta(hours=1)

Steps = Generator[Any, Any, Any]

blueprint = df.Blueprint()


class Backoff(df.RetryOptions):  # type: ignore[misc]  # the SDK ships no types
    """The workflow table's retry, in the words of the durable extension (which the SDK knows only half of)."""

    def __init__(self, retry: Retry) -> None:
        super().__init__(int(retry.interval * 1000), retry.attempts)
        self._retry = retry

    def to_json(self) -> dict[str, Any]:
        """Return the SDK's own options and the two that it leaves out."""
        more = {
            "backoffCoefficient": self._retry.backoff,
            "maxRetryIntervalInMilliseconds": int(self._retry.max_interval * 1000),
        }
        return {**super().to_json(), **more}


def review_v1(context: df.DurableOrchestrationContext) -> Steps:
    """Review every document of a task, then wait for the humans that some of them need."""
    given: Review = decoded(context.get_input())
    settled: list[Outcome] = []
    for first in range(0, given["documents"], SLICE):
        batch = range(first, min(first + SLICE, given["documents"]))
        settled += yield from _all(context, names.REVIEW_DOCUMENT, names.document, given, batch)
    waiting = [one["document"] for one in settled if one["outcome"] == NEEDS_APPROVAL]
    context.set_custom_status({"documents": given["documents"], "waiting": len(waiting)})
    decided: list[Outcome] = yield from _all(context, names.APPROVAL_CHECKPOINT, names.checkpoint, given, waiting)
    context.set_custom_status({"documents": given["documents"], "waiting": 0})
    ends = [one["outcome"] for one in (*settled, *decided) if one["outcome"] != NEEDS_APPROVAL]
    counts = {end: ends.count(end) for end in sorted(set(ends))}
    return {"task": given["task"], "run": given["run"], "documents": len(ends), "outcomes": counts}


def review_document_v1(context: df.DurableOrchestrationContext) -> Steps:
    """Review one document; return what became of it, whatever it was."""
    given: DocumentOf = decoded(context.get_input())
    done: Outcome = yield from _try(context, names.RUN_PIPELINE, given, _flow(given).pipeline_retry)
    if done["outcome"] == FAILED:
        return (yield from _give_up(context, given, done))
    return done


def approval_checkpoint_v1(context: df.DurableOrchestrationContext) -> Steps:
    """Wait until a human, or the last deadline, has decided on a document; return the verdict.

    Event and timer are only requests to look: the store decides.
    """
    given: DocumentOf = decoded(context.get_input())
    patient = _flow(given).bookkeeping_retry
    stands: Outcome = yield from _try(context, names.REQUEST_APPROVAL, given, patient)
    if stands["outcome"] == PENDING:
        asked = {**given, "approval": stands["approval"]}
        answer = context.wait_for_external_event(names.decided(stands["approval"]))
        while stands["outcome"] == PENDING:
            yield from _wait(context, answer, stands["deadline"])
            stands = yield from _try(context, names.CHECK_APPROVAL, asked, patient)
    if stands["outcome"] == FAILED:
        return (yield from _give_up(context, given, stands))
    recorded: Outcome = yield from _try(context, names.RECORD_DOCUMENT, given, patient)
    if recorded["outcome"] != RECORDED:
        return (yield from _give_up(context, given, recorded))
    return {"document": given["document"], "outcome": stands["outcome"]}


def _flow(given: Review | DocumentOf) -> Workflow:
    """Return the run's workflow; inputs of the first kind did not name it, as there was only one."""
    return workflow(given.get("workflow", DOCUMENT_REVIEW.name))


def _all(context: Any, orchestrator: str, instance: Any, given: Review, positions: Any) -> Steps:  # noqa: ANN401
    """Run one sub-orchestration per document, all at once, and return their outcomes."""
    review, flow = names.review(given["task"], given["run"]), _flow(given).name
    tasks = [
        context.call_sub_orchestrator(
            orchestrator,
            DocumentOf(tenant=given["tenant"], task=given["task"], run=given["run"], workflow=flow, document=position),
            instance(review, position),
        )
        for position in positions
    ]
    return (yield context.task_all(tasks)) if tasks else []


def _wait(context: Any, answer: Any, deadline: str) -> Steps:  # noqa: ANN401  the SDK ships no types
    """Wait for the answer or the next moment to look; an answer that came before leaves only the clock.

    The answer's one wait goes on from call to call, so that an answer is heard while an activity runs, too.
    """
    now = context.current_utc_datetime
    longest = AFTER_EVENT if answer.is_completed else LONGEST_WAIT
    timer = context.create_timer(max(min(datetime.fromisoformat(deadline), now + longest), now + SHORTEST_WAIT))
    if answer.is_completed:
        yield timer
        return
    yield context.task_any([answer, timer])
    if not timer.is_completed:
        timer.cancel()


def _try(context: Any, activity: str, given: Any, retry: Retry) -> Steps:  # noqa: ANN401  the SDK ships no types
    """Call an activity; when every attempt failed, that is an outcome, too."""
    try:
        return (yield context.call_activity_with_retry(activity, Backoff(retry), given))
    except Exception as error:  # noqa: BLE001  the SDK raises nothing more precise for a failed activity
        reason = str(error).partition("\n")[0].strip()[:300]
        return {"document": given["document"], "outcome": FAILED, "code": "attempts-used-up", "reason": reason}


def _give_up(context: Any, given: DocumentOf, why: Outcome) -> Steps:  # noqa: ANN401  the SDK ships no types
    """Note the failure and return it."""
    failure = {**given, "code": why["code"], "reason": why["reason"]}
    yield from _try(context, names.FAIL_DOCUMENT, failure, _flow(given).bookkeeping_retry)
    return {"document": given["document"], "outcome": FAILED, "code": why["code"]}


for _orchestrator in (review_v1, review_document_v1, approval_checkpoint_v1):
    blueprint.orchestration_trigger(context_name="context")(_orchestrator)
