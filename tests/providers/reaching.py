"""What the tests of the adapters ask, and where."""

from __future__ import annotations

from providers.egress import LOOPBACK, Egress
from providers.http import Pool
from shared.core.completion import ClassProfile, Prompt

KEY = "MODELS_KEY"
SECRETS = {KEY: "a-key", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
PATHS = {"openai": "/v1", "azure-openai": "", "gemini": "/v1beta", "bedrock": ""}
PROVIDERS = tuple(PATHS)
TEXT = "The pump must be replaced before May. Nobody knows who ordered it. The invoice is overdue and must be paid."
SCHEMA = {
    "type": "object",
    "required": ["quotes"],
    "additionalProperties": False,
    "properties": {
        "quotes": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "maxLength": 200}}
    },
}
PROMPT = Prompt(
    purpose="summarise",
    instruction="Quote what matters.",
    text=TEXT,
    answer_schema=SCHEMA,
    classes=(ClassProfile("worth quoting", keywords=("must",)),),
    deployment="one",
    reference="draw-7",
)


def here() -> Pool:
    """Return a web that may ask this machine."""
    return Pool(Egress(LOOPBACK))
