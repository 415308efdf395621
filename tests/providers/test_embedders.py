"""Embedders: points at unit length, the same for the same text, nearer for texts that are more alike."""

from __future__ import annotations

from math import sqrt

import pytest

from providers import minilm
from providers.embedders import embedder
from shared.core.likeness import similarity
from shared.errors import Permanent

TEXTS = ("The pump leaks and must be replaced.", "The pump leaks, and it must be replaced!", "Permission is granted.")
ODD = ("", " ", "\x00", "é" * 5, "\ud800", "字" * 3_000)


@pytest.fixture(params=["lexical", "minilm"])
def name(request: pytest.FixtureRequest) -> str:
    """Name an embedder; the one with weights only where they are installed."""
    if request.param == "minilm":
        for package in minilm._NEEDED:
            pytest.importorskip(package, reason="the extra `semantic` is not installed")
    return str(request.param)


def test_likeness_is_nearness(name: str) -> None:
    """Two wordings of a sentence lie nearer to each other than to another sentence."""
    one, other, third = embedder(name).embed(TEXTS)
    assert similarity(one, other) > 0.5 + similarity(one, third)


def test_a_text_always_lies_where_it_lies(name: str) -> None:
    """A point is at unit length and depends on its text alone."""
    made = embedder(name)
    points = made.embed(TEXTS)
    assert [list(point) for point in points] == [list(made.embed([text])[0]) for text in TEXTS]
    assert [sqrt(sum(value * value for value in point)) for point in points] == pytest.approx([1.0] * len(TEXTS))


@pytest.mark.parametrize("text", [text for text in ODD if text != "\ud800"])
def test_odd_texts_have_a_place(name: str, text: str) -> None:
    """An empty text and one without words are texts, too."""
    (point,) = embedder(name).embed([text])
    assert sqrt(sum(value * value for value in point)) == pytest.approx(1.0)


def test_the_end_of_a_long_text_counts(name: str) -> None:
    """A text is read beyond what a model takes at once."""
    long = "The pump leaks. " * 200
    one, other = embedder(name).embed([long, long + "Permission is granted. " * 200])
    assert similarity(one, other) < 0.99


def test_without_the_extra_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the weights are not installed, the failure names the extra."""
    monkeypatch.setattr(minilm, "find_spec", lambda _: None)
    with pytest.raises(Permanent, match="extra `semantic`"):
        minilm.MiniLM().embed(["x"])


def test_only_known_embedders_are_made() -> None:
    """A name that is none is refused with those there are."""
    with pytest.raises(Permanent, match="lexical, minilm"):
        embedder("word2vec")
