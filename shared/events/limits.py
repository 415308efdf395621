"""How large a message may be, per transport, in bytes.

Producers keep every event under `CLAIM_CHECK`, which fits all of them; larger content goes by reference.
"""

from __future__ import annotations

from typing import Literal

from shared.errors import Permanent

Transport = Literal["internal", "api-gateway", "kinesis", "sqs", "step-functions", "storage-queue", "pubsub"]

CLAIM_CHECK = 48 * 1024

LIMITS: dict[Transport, int] = {
    "internal": CLAIM_CHECK,
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
    "api-gateway": 10 * 1024 * 1024,
    # https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
    "kinesis": 1024 * 1024,
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
    "sqs": 256 * 1024,
    # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    "step-functions": 256 * 1024,
    # 64 KiB of base64: https://learn.microsoft.com/azure/storage/queues/scalability-targets
    "storage-queue": CLAIM_CHECK,
    # https://cloud.google.com/pubsub/quotas
    "pubsub": 10_000_000,
}


_ADVICE = "send a reference instead"
_MOST_SHOWN = 80


def check_size(body: bytes | str, transport: Transport, advice: str = _ADVICE) -> None:
    """Raise Permanent, with the advice, when the body is larger than the transport carries."""
    if 4 * len(body) <= LIMITS[transport]:  # no character has more bytes
        return
    size = len(body) if isinstance(body, bytes) else len(body.encode())
    if size > LIMITS[transport]:
        raise Permanent(
            f"{size} bytes are more than the {LIMITS[transport]} that {transport} carries; {advice}",
            code="oversize",
        )


def shown(value: object) -> str:
    """Return a value as an error may repeat it: a stranger's may be as long as a message."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
