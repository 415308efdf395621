from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

from local.corpus import documents_in
from local.review import Review
from local.sqlite.database import Database
from local.sqlite.spans import SqliteSpans
from local.stack.collector import Collector as Server
from local.stack.collector import collected
from local.tracing import Sender, Tracing
from local.waterfall import duration, rows
from providers.otlp import Collector
from shared.app.tracing import Recorder
from shared.core.otlp import read
from shared.core.spans import Span
from tests.local.stage import INVOICE, MIT, PLAIN, write_corpus
from tests.local.typed import DONE, FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.local.stage import Fabric
    from tests.local.typed import Shell

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")
SPAN = Span("t1", "a", "", "admit", 10.0, 11.0, "", {"agentfabric.task": "t1"})


def lines_of(text: str) -> list[str]:
    """Return the first column of a waterfall, with its indents."""
    return [re.split(r"(?<=\S)\s{2,}", line, maxsplit=1)[0] for line in text.splitlines()[1:]]


def test_a_task_s_work_is_a_waterfall(shell: Shell) -> None:
    """`trace` shows a task, its steps and their calls, each below what it is a part of, with what was used."""
    (good,) = shell.run(good=MIT).lines
    said = shell.type("trace", good["task"])
    assert said.code == DONE
    assert lines_of(said.out) == [
        "document-review: completed",
        "  admit",
        "  0.extract",
        "  0.classify",
        "    extractive-1",
        "  0.summarise",
        "    extractive-1",
        "  0.policy",
    ]
    whole = said.out.splitlines()[1]
    assert f"${good['cost_micro_usd'] / 1e6:.6f}" in whole
    assert "█" in whole


def test_a_narrow_screen_has_no_picture(shell: Shell) -> None:
    """Where there is no room each span still takes one line, without the picture."""
    (good,) = shell.run(good=MIT).lines
    shell.is_wide(80)
    out = shell.type("trace", good["task"]).out
    assert "█" not in out
    assert len(out.splitlines()) == 9


def test_a_task_that_waits_shows_what_was_done(shell: Shell) -> None:
    """Before its end a task's steps are there, and a word that the rest is to come; afterwards the wait is, too."""
    (asks,) = shell.run(asks=INVOICE).lines
    out = shell.type("trace", asks["task"]).out
    assert "0.classify" in out
    assert "the task is not over" in out
    assert shell.type("approve", asks["approval"]).code == DONE
    out = shell.type("trace", asks["task"]).out
    assert "approval document approved" in out
    assert "the task is not over" not in out


def test_json_is_what_collectors_take(shell: Shell) -> None:
    """`--json` is one request in OTLP with all of the task's spans."""
    (good,) = shell.run(good=MIT).lines
    (told,) = shell.type("trace", good["task"], "--json").lines
    spans = read(told)
    assert len(spans) == 8
    assert {span.task for span in spans} == {good["task"]}
    assert sum(not span.within for span in spans) == 1


def test_a_task_without_spans_is_said_so(shell: Shell) -> None:
    """A task that nobody knows has no waterfall."""
    said = shell.type("trace", "nobody")
    assert (said.code, said.out) == (FAILED, "")
    assert "nobody recorded spans of a task 'nobody'" in said.err
    assert "no collector runs" in shell.type("trace", "nobody", "--stack", "emulators").err


def test_a_span_whose_parent_is_lost_is_shown() -> None:
    """What lost its parent stands below the task, behind what did not."""
    whole = SPAN._replace(about="t1", name="task", start=12.0)
    lost = SPAN._replace(about="b", within="gone", start=9.0)
    part = SPAN._replace(about="c", within="t1")
    assert [(row.span.about, row.depth) for row in rows([lost, part, whole])] == [("t1", 0), ("c", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0004, "0.4 ms"), (0.9996, "999.6 ms"), (59.5, "59.50 s"), (3725.0, "1:02:05")]
)
def test_durations_are_short(seconds: float, words: str) -> None:
    """A duration is milliseconds, seconds, or hours, minutes and seconds."""
    assert duration(seconds) == words


def test_requests_leave_their_spans_before_any_work(memory: Fabric, tmp_path: Path) -> None:
    """A flood of submissions does not fill the recorder: what it holds is written down a hundred spans at a time."""
    taxonomy = memory.taxonomy(PLAIN)
    write_corpus(tmp_path, {f"{number}.txt": f"{MIT} {number}" for number in range(510)})
    review = Review(memory.engine, taxonomy, "ann")
    review.submit(documents_in([tmp_path]))
    assert memory.engine.database.connection.execute("SELECT COUNT(*) FROM spans").fetchone() == (500,)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The stack's collector, keeping its traces in the test's folder."""
    made = Server(0, tmp_path)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def url(server: Server) -> str:
    """Return where the collector takes spans."""
    return f"http://127.0.0.1:{server.server_address[1]}/v1/traces"


def test_a_collector_gets_what_the_state_folder_keeps(server: Server, tmp_path: Path) -> None:
    """With a collector every batch goes there, too, to the last one, and the latest of equals stands."""
    database, recorder = Database(None), Recorder()
    kept = SqliteSpans(database)
    tracing = Tracing(recorder, kept, Collector(url(server), {}, {}))
    for span in (SPAN, SPAN._replace(about="b"), SPAN._replace(end=12.0)):
        recorder.record(span)
        tracing.keep()
    recorder.record(SPAN._replace(about="c"))
    tracing.close()
    assert [(span.about, span.end) for span in kept.of("t1")] == [("a", 12.0), ("b", 11.0), ("c", 11.0)]
    assert sorted(span.end for span in read(collected(tmp_path, "t1"))) == [11.0, 11.0, 12.0]
    database.close()


def test_the_collector_takes_nothing_but_spans(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that is no request, or a trace's id that is none, is refused and leaves no file."""
    Collector(url(server).replace("traces", "logs"), {}, {}).send([SPAN])
    with pytest.raises(ValueError, match="no trace's id"):
        server.keep({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "../../x"}]}]}]})
    assert list(tmp_path.iterdir()) == []
    assert "1 spans are lost: the collector answers 404" in caplog.text


class Stuck:
    """A collector that takes the first batch and does not come back until it is let go."""

    def __init__(self) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.got: list[int] = []

    def send(self, spans: Sequence[Span], lost: int = 0) -> None:
        """Wait."""
        self.got.append(len(spans) + lost)
        self.entered.set()
        self.let_go.wait(30)


def test_a_slow_collector_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """While the collector is stuck batches queue up to a bound, and beyond it they are counted as lost."""
    stuck = Stuck()
    sender = Sender(stuck)
    sender.hand([SPAN])
    assert stuck.entered.wait(30)
    for _ in range(101):
        sender.hand([SPAN, SPAN])
    sender.close(0.0)
    assert caplog.text.count("2 spans are lost: the collector is slow") == 1
    stuck.let_go.set()
    sender.close()
    assert sum(stuck.got) == 1 + 100 * 2
