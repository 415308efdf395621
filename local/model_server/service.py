"""The whole server without a socket: a call and the time go in, a reply comes out. For simulations and `server`.

Knows protocols only as `Dialect`; waits for nothing, so that a simulation may let hours pass in milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from http import HTTPStatus
from uuid import UUID, uuid5

from local.model_server import answering, schemas
from local.model_server.behaviour import Decision, State, decide
from local.model_server.exchange import Answer, Body, Call, Circumstances, Question, Refusal, Reply
from local.model_server.log import Entry, Log, telling
from local.model_server.misbehaviour import sent
from local.model_server.protocols import Dialect, all_protocols
from local.model_server.protocols.wording import whole
from local.model_server.scenario import Deployment, Kind, Scenario
from shared.errors import NotFound, Permanent
from shared.models.extractive import NAME

MOST_BYTES = 8 * 1024 * 1024
ALLOWED = 512  # tokens an answer may have when the question does not say
_TOO_LARGE = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {MOST_BYTES} bytes")
_IDS = UUID("6f0b0d6e-2f0c-5d0a-9a55-3f8f3f1f7a10")
_MESSAGES: dict[Kind, str] = {
    "400": "the request is not acceptable",
    "401": "the credentials are not valid",
    "429": "too many requests, or too many tokens, for this deployment's quota",
    "500": "the server had an error",
    "503": "the service is unavailable",
}
_BAD_ANSWERS: dict[Kind, Callable[[Question, Answer], Answer]] = {
    "malformed": answering.malformed,
    "empty": answering.empty,
}


class ModelService:
    """Every provider's deployments, as a scenario says they behave. One thread at a time."""

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        now: float = 0.0,
        answer: Callable[[Question], Answer] = answering.answer,
    ) -> None:
        """`answer` is the model; the scenario's second 0 is `now`."""
        self.log = Log()
        self._answer = answer
        self._count = 0
        self.use(scenario or Scenario(), now)

    def use(self, scenario: Scenario, now: float) -> None:
        """Begin a scenario: its second 0 is `now`, quotas are full again."""
        self.scenario = scenario
        self._began = now
        self._states: dict[tuple[str, str], State] = {}

    def reply(self, call: Call, now: float) -> Reply:
        """Return what the client gets; what it asks for at a path nobody serves is not found, and not logged."""
        dialect = next((one for one in all_protocols() if one.serves(call)), None)
        if dialect is None:
            return _plain(whole(HTTPStatus.NOT_FOUND, {}, {"error": {"message": f"nothing serves {call.path}"}}))
        if call.method == "GET":
            names = self.scenario.names(dialect.name, [one.name for one in all_protocols()])
            listed = dialect.listing(call, names or [NAME])
            if listed is not None:
                return _plain(listed)
        self._count += 1
        at = Circumstances(str(uuid5(_IDS, str(self._count))), now)
        outcome = self._outcome(dialect, call, at)
        self.log.add(self._entry(dialect, call, at, outcome))
        return outcome.reply

    def _outcome(self, dialect: Dialect, call: Call, at: Circumstances) -> _Outcome:
        if len(call.body) > MOST_BYTES:
            return _refused(dialect, None, _TOO_LARGE, at)
        try:
            question = _question(dialect, call)
        except Permanent as error:
            status = HTTPStatus.NOT_FOUND if isinstance(error, NotFound) else HTTPStatus.BAD_REQUEST
            return _refused(dialect, None, Refusal(status, str(error)), at)
        deployment = self.scenario.find(dialect.name, question.deployment)
        if deployment is None:
            missing = Refusal(HTTPStatus.NOT_FOUND, f"there is no deployment {question.deployment}")
            return _refused(dialect, question, missing, at)
        decision = self._decided(deployment, (dialect.name, question.deployment), question, at.now)
        at = replace(at, seconds=decision.first_byte, requests=decision.requests, tokens=decision.tokens)
        if decision.kind.isdigit():
            refusal = Refusal(int(decision.kind), _MESSAGES[decision.kind], decision.retry_after)
            return _refused(dialect, question, refusal, at)
        answer = self._answer(question)
        worse = _BAD_ANSWERS.get(decision.kind)
        answer = worse(question, answer) if worse else answer
        body = dialect.answer(question, answer, at)
        reply = sent(body, decision.kind, decision.phase, decision.first_byte)
        return _Outcome(reply, decision.kind, question, answer)

    def _decided(self, deployment: Deployment, key: tuple[str, str], question: Question, now: float) -> Decision:
        seed = f"{self.scenario.seed}/{key[0]}/{key[1]}"
        wanted = answering.asked(question) + (question.max_tokens or ALLOWED)
        decision = decide(deployment, self._states.get(key, State()), wanted, now - self._began, seed)
        self._states[key] = decision.state
        return decision

    def _entry(self, dialect: Dialect, call: Call, at: Circumstances, outcome: _Outcome) -> Entry:
        question, answer, reply = outcome.question, outcome.answer, outcome.reply
        return Entry(
            number=self._count,
            time=at.now - self._began,
            protocol=dialect.name,
            deployment=question.deployment if question else "",
            kind=outcome.kind,
            status=None if reply.ending == "silence" else reply.status,
            request_id=at.request_id,
            stream=question.stream if question else False,
            tokens_in=answer.tokens_in if answer else 0,
            tokens_out=answer.tokens_out if answer else 0,
            first_byte=reply.first_byte if math.isfinite(reply.first_byte) else None,
            retry_after=outcome.retry_after,
            prompt=_hashed(question) if question else "",
            told=telling(call.headers),
        )


@dataclass(frozen=True, slots=True)
class _Outcome:
    reply: Reply
    kind: str
    question: Question | None = None
    answer: Answer | None = None
    retry_after: float | None = None


def _question(dialect: Dialect, call: Call) -> Question:
    if call.method != "POST":
        raise NotFound(f"no {call.method} at {call.path}")
    question = dialect.parse(call)
    if question.schema is not None:
        schemas.check(question.schema)
    return question


def _refused(dialect: Dialect, question: Question | None, refusal: Refusal, at: Circumstances) -> _Outcome:
    reply = _plain(dialect.refuse(refusal, at), at.seconds)
    return _Outcome(reply, str(int(refusal.status)), question, retry_after=refusal.retry_after)


def _plain(body: Body, first_byte: float = 0.0) -> Reply:
    return sent(body, "ok", None, first_byte)


def _hashed(question: Question) -> str:
    return sha256(f"{question.instruction}\0{question.text}".encode()).hexdigest()[:16]
