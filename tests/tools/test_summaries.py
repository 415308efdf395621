from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from identify.vendor.licenses import LICENSES

from shared.core.completion import Completion, Prompt
from shared.errors import Permanent
from shared.events.document import DocumentRef
from shared.tools._summary import Summary
from shared.tools.registry import Toolbox, get

Put = Callable[..., DocumentRef]
TEXTS = dict(LICENSES)
STORY = (
    "A STORY\n\nOnce upon a time there was a cat that lived by the sea. The cat liked the sea and the fish in it. "
    "Nobody knew the name of the cat, e.g. because it had none. The postman must bring fish to the cat every day. "
    "It rained on Mondays, and on Tuesdays it did not rain at all.\n"
)
CUED = 'name = "c"\nthreshold = 0.5\ncues = ["must"]\n[[classes]]\nname = "a"\nkeywords = ["x"]\n'
TOOLS = ("summarise", "excerpt")


def flat(text: str) -> str:
    """Return the text with single spaces."""
    return " ".join(text.split())


def summary(tool: str, toolbox: Toolbox, **given: Any) -> Summary:
    """Call a tool by name."""
    output = get(tool).run(given, toolbox)
    assert isinstance(output, Summary)
    return output


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_summary_is_what_its_spans_say(
    name: str, tool: str, put: Put, toolbox: Toolbox, licences: DocumentRef
) -> None:
    """The spans lie in the text, in order and apart, and together they are the summary, in at most 1000 characters."""
    text = TEXTS[name]
    output = summary(tool, toolbox, text=put(text), taxonomy=licences)
    places = [(span.start, span.end) for span in output.spans]
    assert 1 <= len(places) <= 3
    assert places == sorted(places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    assert output.summary == " ".join(flat(text[start:end]) for start, end in places)
    assert 30 <= len(output.summary) <= 1000


@pytest.mark.parametrize(
    ("name", "duty"),
    [
        ("MIT", "copyright notice and this permission notice shall be included"),
        ("BSD-3-Clause", "must retain the above copyright notice"),
        ("Apache-2.0", "must give any other recipients of the Work"),
        ("ISC", "provided that the above copyright notice and this permission notice appear"),
        ("MPL-2.0", "must be under the terms of this License"),
        ("Zlib", "must not be misrepresented"),
        ("GPL-3.0", "provided that you"),
    ],
)
def test_a_licence_s_duties_are_in_its_summary(
    name: str, duty: str, put: Put, toolbox: Toolbox, licences: DocumentRef
) -> None:
    """The cues of the taxonomy bring forward what a licence asks for."""
    assert duty in summary("summarise", toolbox, text=put(TEXTS[name]), taxonomy=licences).summary


def test_a_disclaimer_is_not_a_summary(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """Passages in capitals are not what is quoted."""
    for name in ("MIT", "BSD-2-Clause", "ISC"):
        assert "WARRANT" not in summary("summarise", toolbox, text=put(TEXTS[name]), taxonomy=licences).summary


def test_cues_decide_what_is_quoted(put: Put, toolbox: Toolbox) -> None:
    """With a taxonomy the sentences with its cues are quoted, without one those on the text's subject."""
    cued = summary("summarise", toolbox, text=put(STORY), taxonomy=put(CUED))
    assert cued.summary == "The postman must bring fish to the cat every day."
    assert "The cat liked the sea" in summary("summarise", toolbox, text=put(STORY)).summary


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_sentences_as_asked_for(count: int, put: Put, toolbox: Toolbox) -> None:
    """The number of sentences is the caller's."""
    for tool in TOOLS:
        assert len(summary(tool, toolbox, text=put(STORY), sentences=count).spans) == count


def test_an_excerpt_begins_at_the_beginning(put: Put, toolbox: Toolbox) -> None:
    """The excerpt is the first sentences, without the heading."""
    output = summary("excerpt", toolbox, text=put(STORY), sentences=2)
    assert output.summary.startswith("Once upon a time")
    assert output.summary.endswith("the fish in it.")


def test_an_abbreviation_does_not_end_a_sentence(put: Put, toolbox: Toolbox) -> None:
    """A full stop behind an abbreviation is none."""
    output = summary("excerpt", toolbox, text=put(STORY), sentences=3)
    assert output.summary.endswith("e.g. because it had none.")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "text", ["Yes.", "word", "x" * 5000, "a " * 5000, "Ж" * 3000, "no end" * 999, "İ is a letter. " * 9]
)
def test_odd_texts_are_summarised(text: str, tool: str, put: Put, toolbox: Toolbox) -> None:
    """A text of one word, without spaces or without a full stop has a summary within the limit."""
    output = summary(tool, toolbox, text=put(text))
    assert 0 < len(output.summary) <= 1000
    assert all(flat(text[span.start : span.end]) in output.summary for span in output.spans)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_text_of_marks_has_no_summary(tool: str, put: Put, toolbox: Toolbox) -> None:
    """Without a word there is nothing to quote."""
    with pytest.raises(Permanent) as caught:
        summary(tool, toolbox, text=put("*** --- ***"))
    assert caught.value.code in {"empty", "bad-answer"}


@pytest.mark.parametrize("sentences", [0, 11, -1, "many"])
def test_the_number_of_sentences_has_bounds(sentences: Any, put: Put, toolbox: Toolbox) -> None:
    """One to ten sentences can be asked for."""
    for tool in TOOLS:
        with pytest.raises(Permanent, match="sentences: "):
            get(tool).run({"text": put(STORY), "sentences": sentences}, toolbox)


def test_the_same_text_gets_the_same_summary(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """Asking again changes nothing."""
    ref = put(TEXTS["GPL-3.0"])
    assert len({summary("summarise", toolbox, text=ref, taxonomy=licences).summary for _ in range(3)}) == 1


class Scripted:
    """A model that answers as it was told."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def complete(self, prompt: Prompt) -> Completion:
        """Answer as told, when the question is the one expected."""
        assert prompt.purpose == "summarise"
        return Completion(self.answer)


def test_a_model_s_quotations_are_found_again(put: Put, toolbox: Toolbox) -> None:
    """A quotation with other blanks and capitals is found, and the summary quotes the text."""
    answer = {"quotes": ["the CAT liked\nthe sea and the  fish in it"]}
    output = summary("summarise", replace(toolbox, models=Scripted(answer)), text=put(STORY))
    assert output.summary == "The cat liked the sea and the fish in it"


def test_a_model_may_use_its_own_words(put: Put, toolbox: Toolbox) -> None:
    """A summary in the model's words is taken when it rests on quotations, and is cut to the limit."""
    answer = {"quotes": ["It rained on Mondays"], "summary": "Rain on\nMondays. " * 200}
    output = summary("summarise", replace(toolbox, models=Scripted(answer)), text=put(STORY))
    assert output.summary.startswith("Rain on Mondays. Rain on")
    assert output.summary.endswith(" …")
    assert len(output.summary) <= 1000
    assert STORY[output.spans[0].start : output.spans[0].end] == "It rained on Mondays"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"quotes": ["The dog liked the sea."]}, "not in the text"),
        ({"quotes": ["The cat liked the sea", "..."]}, "not in the text"),
        ({"quotes": []}, "no list of quotes"),
        ({}, "no list of quotes"),
        ({"quotes": "The cat"}, "no list of quotes"),
    ],
)
def test_a_made_up_quotation_is_refused(answer: dict[str, Any], says: str, put: Put, toolbox: Toolbox) -> None:
    """What the model did not find in the text is not passed on."""
    with pytest.raises(Permanent, match=says) as caught:
        summary("summarise", replace(toolbox, models=Scripted(answer)), text=put(STORY))
    assert caught.value.code == "bad-answer"


def test_an_excerpt_asks_no_model(put: Put, toolbox: Toolbox) -> None:
    """The fallback works when the model does not."""
    answer: dict[str, Any] = {}
    assert summary("excerpt", replace(toolbox, models=Scripted(answer)), text=put(STORY)).spans
