from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from identify.vendor.licenses import LICENSES

from shared.core.completion import Completion, Prompt
from shared.core.taxonomy import parse_taxonomy
from shared.errors import Permanent, Transient
from shared.events.document import DocumentRef
from shared.models.extractive import Extractive
from shared.taxonomies import builtin
from shared.tools.classify import ClassifyInput, ClassifyOutput, classify
from shared.tools.registry import Toolbox

Put = Callable[..., DocumentRef]
Label = Callable[[str], ClassifyOutput]
TEXTS = dict(LICENSES)


@pytest.fixture
def labelled(put: Put, toolbox: Toolbox, licences: DocumentRef) -> Label:
    """Return a function that classifies a text by the taxonomy of licences."""
    return lambda text: classify(ClassifyInput(text=put(text), taxonomy=licences), toolbox)


def named(text: str) -> str:
    """Fill in the placeholders of a licence text as people do."""
    dated = re.sub(r"\[(?:year|yyyy)\]|<year>", "2001-2024", text)
    return re.sub(r"\[(?:fullname|name of copyright owner)\]|<name of author>", "Ada Lovelace GmbH & others", dated)


def framed(start: str) -> Callable[[str], str]:
    """Return a function that begins every line of a text like this."""
    return lambda text: "\n".join(start + line for line in text.splitlines())


CHANGES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "with names": named,
    "in a comment": framed(" * "),
    "as a quotation in Markdown": framed("> **"),
    "wrapped anew": lambda text: "\n\n".join(textwrap.fill(part, 50) for part in text.split("\n\n")),
    "in one line": lambda text: " ".join(text.split()),
    "after a preface": lambda text: "About cats.\nCopyright 2001 The Cats\n" * 6 + text,
    "without a title": lambda text: text.split("\n", 2)[2],
    "with a notice behind it": lambda text: text + "\n\nThe parser is by Jane Doe. The icons are by John.\n",
    "in capitals": str.upper,
    "with other line ends": lambda text: text.replace("\n", "\r\n"),
    "with curly quotes": lambda text: text.replace('"', "”").replace("'", "\u2019"),
    "before another licence": lambda text: f"{text}\n\n-----\n\n{TEXTS['MIT']}",
    "before a copyleft licence": lambda text: f"{text}\n\n-----\n\n{TEXTS['GPL-3.0']}",
    "cut short": lambda text: text[: int(len(text) * 0.85)],
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_licence_text_is_recognised(change: str, labelled: Label) -> None:
    """Every text that comes with the library is its own class, however it is set, and by far."""
    found = {name: labelled(CHANGES[change](text)) for name, text in TEXTS.items()}
    assert {name: output.label for name, output in found.items()} == {name: name for name in TEXTS}
    assert min(output.score for output in found.values()) > 0.8


def test_a_score_is_a_likeness(labelled: Label) -> None:
    """The nearer a text is to its reference the higher it scores, and only the same text scores near 1."""
    whole = TEXTS["Apache-2.0"]
    scores = [labelled(text).score for text in (whole, whole[:9000], whole[:7000], whole[:5000])]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.99
    assert scores[2] < 0.9


MPL = """This Source Code Form is subject to the terms of the Mozilla Public
License, v. 2.0. If a copy of the MPL was not distributed with this file"""
GPL = """This program is free software: you can redistribute it and/or modify it under the
terms of the GNU General Public License as published by
    the Free Software Foundation, either version 3 of the License, or (at your option) any later version."""
LGPL = """you can redistribute it and/or modify it under the terms of the GNU Lesser General
Public License as published by the Free Software Foundation; either version 2.1 of the License"""


@pytest.mark.parametrize(
    ("notice", "label"),
    [
        ("Licensed under the Apache License, Version 2.0", "Apache-2.0"),
        ("# SPDX-License-Identifier: GPL-3.0-or-later", "GPL-3.0"),
        ("# SPDX-License-Identifier: MIT", "MIT"),
        ("// SPDX-License-Identifier: MIT-0", "MIT-0"),
        (MPL, "MPL-2.0"),
        (GPL, "GPL-3.0"),
        (LGPL, "LGPL-2.1"),
        ("All code here is MIT licensed.", "MIT"),
        ("frob is released under the Business Source License 1.1.", "BUSL-1.1"),
        ("The licences are found in LICENSE.APACHE or LICENSE.BSD.", "Apache-2.0"),
        ("This is free and unencumbered software released into the public domain.", "Unlicense"),
    ],
)
def test_a_short_notice_is_enough(notice: str, label: str, labelled: Label) -> None:
    """A licence that is only named is recognised, and scores less than its text."""
    output = labelled(f"frob\nCopyright 2024 Ada\n\n{notice}\n")
    assert (output.label, output.score) == (label, 0.85)


@pytest.mark.parametrize(
    "text",
    [
        "The cat sat on the mat and looked at the rain for most of the afternoon.",
        "Copyright 2024 Example Ltd. All rights reserved. You may not copy this program.",
        "import os\n\nprint(os.getcwd())\n",
        "12 34 56",
        "***",
    ],
)
def test_what_is_no_licence_is_unknown(text: str, labelled: Label) -> None:
    """A text that resembles nothing is unknown, with a score under the threshold."""
    output = labelled(text)
    assert output.label == "unknown"
    assert output.score < 0.6


def test_a_variant_is_told_by_what_it_adds(labelled: Label) -> None:
    """A clause that the reference does not have makes another class of it."""
    clause = "3. All advertising materials mentioning features or use of this software must display this.\n\n"
    text = TEXTS["BSD-3-Clause"].replace("3. Neither", clause + "4. Neither")
    assert labelled(text).label == "BSD-4-Clause"
    assert labelled(text).runner_up == "BSD-3-Clause"


def test_a_variant_is_told_by_what_it_leaves_out(labelled: Label) -> None:
    """MIT without its condition is MIT-0."""
    condition = re.compile(r", subject to the following conditions:.*?(?=THE SOFTWARE IS)", re.DOTALL)
    assert labelled(condition.sub(".\n\n", TEXTS["MIT"])).label == "MIT-0"


def test_a_mention_is_not_a_licence(labelled: Label) -> None:
    """What a licence's own text says about other licences does not count."""
    assert labelled(TEXTS["MPL-2.0"]).also == ()
    assert labelled(TEXTS["EUPL-1.2"]).also == ()
    assert labelled(TEXTS["AGPL-3.0"]).also == ()


def test_the_first_of_several_licences_is_the_label(labelled: Label) -> None:
    """A file with several licences is its first, and tells the others."""
    output = labelled("\n\n".join(TEXTS[name] for name in ("BSD-3-Clause", "MIT", "GPL-3.0")))
    assert output.label == "BSD-3-Clause"
    assert set(output.also) == {"MIT", "GPL-3.0"}
    assert output.runner_up == "MIT"


def test_evidence_points_into_the_text(labelled: Label) -> None:
    """The place of evidence holds the words that decide, in the text's own spelling."""
    text = "frob — a tool.\n\nLICENSED under the\n  Apache   License, version 2.0.\n"
    (evidence,) = labelled(text).evidence
    assert evidence.start is not None
    assert text[evidence.start : evidence.end] == "LICENSED under the\n  Apache   License, version 2.0"
    assert "phrase which decides for Apache-2.0" in evidence.what


def test_evidence_tells_the_reference(labelled: Label) -> None:
    """A wording's evidence names the reference text, how alike it is, and where it begins."""
    text = "Preface.\n\n" + TEXTS["MIT"]
    evidence = labelled(text).evidence[0]
    assert "alike the reference text of MIT" in evidence.what
    assert text[evidence.start : evidence.end].startswith("MIT License")
    assert 0.9 < evidence.weight <= 1


def test_the_same_text_gets_the_same_answer(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """Nothing in an answer depends on when or how often is asked."""
    given = ClassifyInput(text=put("\n\n".join(TEXTS.values())[:60_000]), taxonomy=licences)
    assert len({classify(given, toolbox).model_dump_json() for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("INVOICE\nInvoice number: 17\nBill to: Bob\nSubtotal 10 EUR\nVAT 19%\nTotal amount due: 11.90\n", "invoice"),
        ("Dear Ms Doe,\n\nthank you for your kind words.\n\nYours sincerely,\nJohn", "letter"),
        (
            "Minutes of the meeting\nAttendees: A, B\nAgenda: money\nDecisions: none\nAction items: B calls",
            "meeting-notes",
        ),
        (
            "Service agreement\n\nThis agreement is made between the parties. Governing law is that of Iceland.",
            "contract",
        ),
        ("Getting started\nRun the command to install it. Configuration: set the options in settings.", "manual"),
        ("colourless green ideas sleep furiously", "unknown"),
    ],
)
def test_an_ordinary_folder_is_sorted(text: str, label: str, put: Put, toolbox: Toolbox, general: DocumentRef) -> None:
    """Keywords and phrases of the general taxonomy tell ordinary documents apart."""
    assert classify(ClassifyInput(text=put(text), taxonomy=general), toolbox).label == label


def test_a_user_s_own_taxonomy_works(put: Put, toolbox: Toolbox) -> None:
    """Classes that nobody thought of are recognised by the user's words, in any script."""
    taxonomy = put(
        'name = "zoo"\nthreshold = 0.2\n[[classes]]\nname = "кошки"\nkeywords = ["кошка", "мурлычет"]\n'
        '[[classes]]\nname = "Vögel"\nkeywords = ["fliegt", "Schnabel", "Ei legen"]\n'
    )
    for text, label in (("Кошка мурлычет.", "кошки"), ("Er FLIEGT hoch, um ein\nEi legen zu können.", "Vögel")):
        assert classify(ClassifyInput(text=put(text), taxonomy=taxonomy), toolbox).label == label


class Scripted:
    """A model that says what it was told to say, and keeps what it was asked."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.asked: list[Prompt] = []

    def complete(self, prompt: Prompt) -> Completion:
        """Answer as told."""
        self.asked.append(prompt)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Completion(self.answer)


def test_the_model_is_asked_with_all_it_needs(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """The prompt holds the text, each class with its words and reference, and the labels as an enumeration."""
    model = Scripted({"label": "MIT", "score": 0.9})
    classify(ClassifyInput(text=put("A text."), taxonomy=licences), replace(toolbox, models=model))
    (prompt,) = model.asked
    taxonomy = parse_taxonomy(builtin("licences"))
    assert (prompt.purpose, prompt.text) == ("classify", "A text.")
    assert [profile.name for profile in prompt.classes] == [known.name for known in taxonomy.classes]
    assert next(profile for profile in prompt.classes if profile.name == "MIT").reference == TEXTS["MIT"]
    labels = [*(known.name for known in taxonomy.classes), "unknown"]
    assert prompt.answer_schema["properties"]["label"]["enum"] == labels


def test_a_long_text_is_not_paid_for_to_its_end(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """The model gets to read the beginning of a long text."""
    model = Scripted({"label": "unknown", "score": 0.0})
    classify(ClassifyInput(text=put("word " * 50_000), taxonomy=licences), replace(toolbox, models=model))
    assert len(model.asked[0].text) == 48_000


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "label: Field required"),
        ({"label": "MIT"}, "score: Field required"),
        ({"label": "MIT", "score": 1.5}, "score: .*less than or equal to 1"),
        ({"label": "MIT", "score": "very"}, "score: .*number"),
        ({"label": "Beerware", "score": 1}, "'Beerware', which is no class"),
        ({"label": "MIT", "score": 1, "evidence": [{"what": "x" * 500}]}, "evidence.0.what"),
    ],
)
def test_a_wrong_answer_is_not_believed(
    answer: dict[str, Any], says: str, put: Put, toolbox: Toolbox, licences: DocumentRef
) -> None:
    """An answer that breaks the schema or invents a class is a Permanent error."""
    with pytest.raises(Permanent, match=says) as caught:
        classify(ClassifyInput(text=put("x"), taxonomy=licences), replace(toolbox, models=Scripted(answer)))
    assert caught.value.code == "bad-answer"


def test_invented_evidence_has_no_place(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """A quotation that is not in the text points nowhere, and classes that do not exist are dropped."""
    answer = {
        "label": "MIT",
        "score": 0.9,
        "evidence": [{"what": "real", "quote": "the text"}, {"what": "invented", "quote": "never said"}],
        "runner_up": "Beerware",
        "also": ["Beerware", "MIT", "ISC"],
    }
    box = replace(toolbox, models=Scripted(answer))
    output = classify(ClassifyInput(text=put("This is the text."), taxonomy=licences), box)
    assert [(one.start, one.end) for one in output.evidence] == [(8, 16), (None, None)]
    assert (output.runner_up, output.also) == ("", ("ISC",))


def test_under_the_threshold_the_label_is_unknown(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """A class that is not sure enough is the runner-up of unknown, and keeps its score."""
    box = replace(toolbox, models=Scripted({"label": "MIT", "score": 0.59, "runner_up": "ISC"}))
    output = classify(ClassifyInput(text=put("x"), taxonomy=licences), box)
    assert (output.label, output.score, output.runner_up) == ("unknown", 0.59, "MIT")


def test_a_model_that_is_busy_is_asked_later(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """The model's own verdict reaches the engine untouched."""
    busy = Transient("throttled", retry_after=7)
    with pytest.raises(Transient) as caught:
        classify(ClassifyInput(text=put("x"), taxonomy=licences), replace(toolbox, models=Scripted(busy)))
    assert caught.value is busy


def test_a_reference_that_nobody_has_is_told(put: Put, toolbox: Toolbox) -> None:
    """A taxonomy that refers to a text that does not come with the library is named with those that do."""
    taxonomy = put('name = "x"\nthreshold = 0.5\n[[classes]]\nname = "beer"\nreference = "Beerware"\n')
    with pytest.raises(Permanent, match=r"class beer refers to 'Beerware'; texts there are: 0BSD, AFL-3\.0"):
        classify(ClassifyInput(text=put("x"), taxonomy=taxonomy), toolbox)


@pytest.mark.parametrize(
    ("taxonomy", "code"),
    [(b"\xff\xfe", "not-text"), (b"", "empty"), (b"a" * 300_000, "oversize"), (b"=", "bad-taxonomy")],
)
def test_a_taxonomy_that_is_none_is_refused(taxonomy: bytes, code: str, put: Put, toolbox: Toolbox) -> None:
    """Bytes that are no taxonomy are told apart from a document that is none."""
    with pytest.raises(Permanent) as caught:
        classify(ClassifyInput(text=put("x"), taxonomy=put(taxonomy)), toolbox)
    assert (caught.value.code, caught.value.where) == (code, "taxonomy")


def test_a_text_must_be_utf8(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """What did not go through extract is not guessed at."""
    with pytest.raises(Permanent, match="text: not UTF-8 at byte 2"):
        classify(ClassifyInput(text=put(b"ab\xff"), taxonomy=licences), toolbox)


def test_a_taxonomy_is_read_once(put: Put, toolbox: Toolbox, documents: Any) -> None:
    """The same hash is the same taxonomy, and is not fetched again."""
    taxonomy = put('name = "once"\nthreshold = 0.1\n[[classes]]\nname = "a"\nkeywords = ["word"]\n')
    text = put("word")
    first = classify(ClassifyInput(text=text, taxonomy=taxonomy), toolbox)
    del documents.kept[taxonomy.sha256]
    assert classify(ClassifyInput(text=text, taxonomy=taxonomy), toolbox) == first


def test_tokens_are_a_quarter_of_the_characters(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """The embedded model reports what it read and said, under its own name."""
    model = Scripted({"label": "MIT", "score": 0.9})
    classify(ClassifyInput(text=put("x" * 1001), taxonomy=licences), replace(toolbox, models=model))
    usage = Extractive().complete(model.asked[0]).usage
    assert usage.model == "extractive-1"
    assert usage.tokens_in == -(-(1001 + len(model.asked[0].instruction)) // 4)
    assert 10 < usage.tokens_out < 60
