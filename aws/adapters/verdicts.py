"""What an AWS service's refusal means: try again later, or never again.

One table for all services. Anything a service says about its own state is passing; anything it says about the
request is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import FabricError, Permanent, Transient

THROTTLED = frozenset(
    {
        "LimitExceededException",
        "OperationAborted",
        "ConditionalRequestConflict",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "KMSThrottlingException",
        "KmsThrottled",
        "ExecutionLimitExceeded",
        "TransactionInProgressException",
    }
)
_PAUSE = 1.0
_SERVER_ERROR = 500


@contextmanager
def verdicts(what: str) -> Iterator[None]:
    """Turn a service's errors inside into verdicts; `what` names the attempt, for people."""
    try:
        yield
    except ClientError as error:
        raise verdict(what, error) from error
    except BotoCoreError as error:  # no connection, no answer, half an answer
        raise Transient(f"{what}: {type(error).__name__}", retry_after=_PAUSE) from error


def verdict(what: str, error: ClientError) -> FabricError:
    """Return the verdict on one refusal; the service's message may quote content, its code does not."""
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in THROTTLED or status >= _SERVER_ERROR:
        return Transient(f"{what}: {code}", retry_after=_PAUSE)
    return Permanent(f"{what}: {code}", code="refused-by-aws")


def code_of(error: ClientError) -> str:
    """Return the service's own name for the error."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))
