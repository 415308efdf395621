from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from shared.errors import Permanent
from shared.events.document import DocumentRef
from shared.tools.extract import ExtractInput, ExtractOutput, extract
from shared.tools.registry import Toolbox

Put = Callable[..., DocumentRef]
GERMAN = "Müller grüßt die Leute in der Straße und wünscht allen ein schönes Fest."
RUSSIAN = "Привет, как дела? Это обычный текст на русском языке, и он достаточно длинный."


@pytest.fixture
def read(put: Put, toolbox: Toolbox, documents: Any) -> Callable[..., tuple[str, ExtractOutput]]:
    """Return a function that extracts a document and reads the text where it lies then."""

    def extracted(content: str | bytes, name: str = "") -> tuple[str, ExtractOutput]:
        output = extract(ExtractInput(document=put(content, name)), toolbox)
        text = documents.read(output.text).decode()
        assert output.characters == len(text)
        return text, output

    return extracted


Read = Callable[..., tuple[str, ExtractOutput]]


def pdf(*lines: str, password: str = "") -> bytes:
    """Return a PDF with one page for each line; an empty line is an empty page."""
    writer = PdfWriter()
    for line in lines:
        page = writer.add_blank_page(300, 300)
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        named = DictionaryObject({NameObject(key): NameObject(value) for key, value in font.items()})
        fonts = DictionaryObject({NameObject("/F1"): named})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({line}) Tj ET".encode() if line else b"")
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_plain_text_is_not_copied(put: Put, toolbox: Toolbox, documents: Any) -> None:
    """The text of a UTF-8 text lies where the document lies, and nothing is written."""
    ref = put("Grüße\nan alle\n", "hello.txt")
    output = extract(ExtractInput(document=ref), toolbox)
    assert (output.text, output.media_type, output.encoding) == (ref, "text/plain", "utf-8")
    assert output.pages is None
    assert len(documents.kept) == 1


@pytest.mark.parametrize(
    ("text", "codec", "encoding"),
    [
        (GERMAN, "utf-8-sig", "utf-8"),
        (GERMAN, "utf-16", "utf-16"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (GERMAN, "utf-16-be", "utf-16-be"),
        (GERMAN, "utf-32", "utf-32"),
        (GERMAN, "latin-1", "cp1252"),
        ("é", "latin-1", "cp1252"),
        (RUSSIAN, "cp1251", "cp1251"),
    ],
)
def test_encodings_are_recognised(text: str, codec: str, encoding: str, read: Read) -> None:
    """A text in another encoding is written again in UTF-8, and the encoding is told."""
    found, output = read(text.encode(codec))
    assert (found, output.encoding) == (text, encoding)
    assert output.text.media_type == "text/plain; charset=utf-8"


def test_one_damaged_character_is_no_other_encoding(read: Read) -> None:
    """A text in UTF-8 that lost a byte stays UTF-8, with one replacement."""
    found, output = read(GERMAN.encode() + b" \xc3 end")
    assert found == f"{GERMAN} \ufffd end"
    assert output.encoding == "utf-8"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "empty", "0 bytes"),
        (b" \r\n\t\n", "empty", "white space"),
        (b"\xef\xbb\xbf", "empty", "white space"),
        (b"some text\x00and more", "binary", "NUL"),
        (b"\x01\x02\x03 text \x04\x05\x06", "binary", "control"),
        (b"\x89PNG\r\n\x1a\n....", "binary", "PNG image"),
        (b"PK\x03\x04....", "binary", "ZIP archive or an Office document"),
        (b"\x7fELF....", "binary", "program"),
        (random.Random(7).randbytes(50_000), "binary", "not a text"),
        (b"\xff\xfe\x00\xd8\x00", "binary", "utf-16"),
        (b"%PDF-1.7\n%", "damaged", "PDF cannot be read"),
        (b"<html><head><title>x</title></head><body> <br></body></html>", "empty", "markup"),
        (b"<html><!-- nothing else", "empty", "markup"),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, code: str, says: str, read: Read) -> None:
    """Each kind of file without text gets its own sentence, and is never worth a retry."""
    with pytest.raises(Permanent, match=says) as caught:
        read(content)
    assert caught.value.code == code


def test_what_claims_to_be_too_large_is_not_read(put: Put, toolbox: Toolbox, documents: Any) -> None:
    """The size in the reference is enough to refuse it."""
    ref = put("small").model_copy(update={"size": 20 * 1024 * 1024 + 1})
    documents.kept.clear()
    with pytest.raises(Permanent, match="20971521 bytes are more than the 20971520 allowed"):
        extract(ExtractInput(document=ref), toolbox)


def test_what_is_too_large_is_refused_whatever_it_claims(put: Put, toolbox: Toolbox) -> None:
    """A reference that says less than the bytes does not help."""
    ref = put(b"a" * (20 * 1024 * 1024 + 1)).model_copy(update={"size": 5})
    with pytest.raises(Permanent) as caught:
        extract(ExtractInput(document=ref), toolbox)
    assert caught.value.code == "oversize"


def test_the_largest_text_is_read(read: Read) -> None:
    """A text of exactly the limit passes."""
    assert read(b"word " * (4 * 1024 * 1024))[1].characters == 20 * 1024 * 1024


def test_html_becomes_what_a_reader_sees(read: Read) -> None:
    """Blocks are lines, inline marks vanish, scripts and styles are not text, entities are characters."""
    page = (
        "<!doctype html><head><title>no</title><style>p{}</style></head><h1>One</h1><p>two <b>bold</b>\nthree"
        "<script>evil()</script><ul><li>a<li>b &amp; c</ul>"
    )
    text, output = read(page)
    assert text.split() == ["One", "two", "bold", "three", "a", "b", "&", "c"]
    assert "two bold three" in text.split("\n")
    assert output.media_type == "text/html"


@pytest.mark.parametrize("name", ["LICENSE", "page.txt", "page.html"])
def test_html_is_known_by_its_content(name: str, read: Read) -> None:
    """A page is a page under any name."""
    assert read("<html><body>seen</body></html>", name)[0] == "seen"


def test_a_text_about_html_stays_a_text(read: Read) -> None:
    """Angle brackets do not make a page."""
    text = "Write <b>bold</b> for bold, and a < b for less."
    assert read(text, "notes.txt")[0] == text


@pytest.mark.parametrize("unit", ["<div>", "<b><i>", "<table><tr><td>", "<svg><g>", "<ul><li>"])
def test_html_nested_absurdly_deep_is_refused(unit: str, read: Read) -> None:
    """A hundred thousand nested elements are an answer, not a crash."""
    with pytest.raises(Permanent, match="nested deeper than 500") as caught:
        read("<html>" + unit * 100_000 + "x")
    assert caught.value.code == "damaged"


def test_html_nested_a_little_is_read(read: Read) -> None:
    """Thirty nested elements are an ordinary page."""
    assert read("<html>" + "<div>" * 30 + "seen" + "</div>" * 30)[0] == "seen"


@pytest.mark.parametrize("unit", ["<a ", "<!--", '<a href="', "</a ", "<![CDATA[", "<p>x", "&#", "<script>", "<b><p>"])
def test_hostile_html_ends(unit: str, read: Read) -> None:
    """Unfinished markup repeated a hundred thousand times is read or refused, in linear time."""
    try:
        read("<html>" + unit * 100_000)
    except Permanent as error:
        assert error.code in {"empty", "damaged"}  # noqa: PT017  both answers are fine, a crash is not


def test_too_much_html_is_refused(read: Read) -> None:
    """More markup than a parser should be given has its own limit."""
    with pytest.raises(Permanent) as caught:
        read("<html>" + "a" * 4_000_001)
    assert caught.value.code == "oversize"


def test_markdown_loses_its_marks(read: Read) -> None:
    """What is text in Markdown stays, what is markup goes, code is text."""
    source = "# Title\n\nHello *big* [world](http://x)\nagain\n\n- a\n- b\n\n```\ncode\n```\n\n<div>h</div>\n"
    text, output = read(source, "readme.md")
    assert text.split() == ["Title", "Hello", "big", "world", "again", "a", "b", "code", "h"]
    assert (output.media_type, output.text.name) == ("text/markdown", "readme.md.txt")


@pytest.mark.parametrize("unit", ["[", "*a ", "![", "- ", "`", "<a ", "1. a\n"])
def test_hostile_markdown_ends(unit: str, read: Read) -> None:
    """Marks repeated twenty thousand times before a word leave at least the word."""
    assert "word" in read(unit * 20_000 + "\n\nword", "a.md")[0]


def test_markdown_without_its_name_is_plain(read: Read) -> None:
    """Only its name tells Markdown from text, so without it the marks stay."""
    assert read("# Title", "README")[0] == "# Title"


def test_a_pdf_gives_its_text_and_pages(read: Read) -> None:
    """The text of a PDF's pages is written as text."""
    text, output = read(pdf("First page", "Second page"), "a.pdf")
    assert text.split() == ["First", "page", "Second", "page"]
    assert (output.media_type, output.encoding, output.pages) == ("application/pdf", "binary", 2)


def test_a_scanned_pdf_is_told_what_it_needs(read: Read) -> None:
    """A PDF without text says that character recognition comes first."""
    with pytest.raises(Permanent, match="OCR") as caught:
        read(pdf("", ""))
    assert caught.value.code == "no-text"


def test_an_encrypted_pdf_is_refused(read: Read) -> None:
    """A PDF with a password asks for a copy without one."""
    with pytest.raises(Permanent, match="without a password") as caught:
        read(pdf("secret", password="pw"))
    assert caught.value.code == "encrypted"


def test_a_truncated_pdf_never_crashes(read: Read) -> None:
    """Cut anywhere, a PDF is read or refused."""
    whole = pdf("First page", "Second page")
    for cut in range(8, len(whole), 37):
        try:
            read(whole[:cut])
        except Permanent as error:
            assert error.code in {"damaged", "no-text"}  # noqa: PT017  both answers are fine, a crash is not


def test_a_pdf_with_flipped_bytes_never_crashes(read: Read) -> None:
    """Damaged anywhere, a PDF is read or refused."""
    chance = random.Random(5)
    whole = pdf("First page", "Second page")
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(8):
            damaged[chance.randrange(8, len(whole))] = chance.randrange(256)
        try:
            read(bytes(damaged))
        except Permanent as error:
            assert error.code in {"damaged", "no-text", "encrypted"}  # noqa: PT017  likewise


def test_a_pdf_with_too_many_pages_is_refused(read: Read) -> None:
    """Pages have a limit."""
    with pytest.raises(Permanent, match="2001 pages") as caught:
        read(pdf(*["x"] * 2001))
    assert caught.value.code == "oversize"


def test_the_claimed_media_type_is_not_believed(put: Put, toolbox: Toolbox) -> None:
    """What a reference says about its kind does not matter."""
    ref = put("plain words").model_copy(update={"media_type": "application/pdf"})
    assert extract(ExtractInput(document=ref), toolbox).media_type == "text/plain"


def test_a_long_name_still_has_room_for_its_ending(read: Read) -> None:
    """A name of the greatest length does not break the written copy's name."""
    assert read("<html>seen</html>", "n" * 512)[1].text.name == "n" * 500 + ".txt"
