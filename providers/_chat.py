"""OpenAI's chat completions, as Azure OpenAI and OpenAI-compatible servers take them.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.answering import Said
from shared.core.phrasing import phrase

if TYPE_CHECKING:
    from shared.core.completion import Prompt


def body(prompt: Prompt, most: str) -> dict[str, Any]:
    """Word the prompt; `most` is what the server calls the bound on the answer's tokens."""
    system, user = phrase(prompt)
    schema = {"name": "answer", "schema": prompt.answer_schema, "strict": False}
    return {
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        "response_format": {"type": "json_schema", "json_schema": schema},
        most: prompt.max_output_tokens,
    }


def read(found: dict[str, Any]) -> Said:
    """Read an answer; one that was refused or filtered is empty."""
    message, usage = found["choices"][0]["message"], found["usage"]
    return Said(message.get("content") or "", usage["prompt_tokens"], usage["completion_tokens"])
