"""One review of a folder, in a process of its own so that its memory is its own: prints what it took as JSON.

`python -m benchmarks.reviewing FOLDER direct|reviewed|tools`: placed on AWS, through Azure, or the four tools alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.corpus import kind_of
from benchmarks.material import PERSON, TENANT, licences
from local.clock import RealClock
from local.corpus import Item, documents_in, referenced
from local.engine import Engine
from local.review import Review
from shared.events.document import DocumentRef
from shared.tools.registry import Toolbox, get

_KIB_PER_MB = 1000 * 1000 / 1024


def main(folder: str, how: str) -> None:
    """Review, check, print."""
    run = _with_tools if how == "tools" else _with_the_engine
    with TemporaryDirectory() as home:
        took, clouds = run(Path(home), Path(folder), may_ask=how == "reviewed")
    print(json.dumps({"seconds": took, "megabytes": _peak(), "clouds": clouds}))


def _with_the_engine(home: Path, folder: Path, *, may_ask: bool) -> tuple[float, dict[str, int]]:
    with Engine(home, RealClock()) as engine:
        engine.work()  # what starts with the first turn
        taxonomy = engine.documents.write(licences(may_ask=may_ask), "application/toml")
        review = Review(engine, taxonomy, PERSON)
        began = time.perf_counter()
        review.submit(documents_in([folder]))
        engine.work(review.heard)
        took = time.perf_counter() - began
        for item in review.collected():
            assert (item.status, item.label, item.verdict) == ("done", kind_of(item.name), "automatic"), item
        clouds = Counter(str(task.placed_on) for task in engine.ports.tasks.page(TENANT, limit=len(review.items)))
    return took, dict(clouds)


def _with_tools(home: Path, folder: Path, *, may_ask: bool) -> tuple[float, dict[str, int]]:
    with Engine(home, RealClock()) as engine:
        taxonomy = engine.documents.write(licences(may_ask=may_ask), "application/toml")
        toolbox = Toolbox(engine.documents, engine.ports.models)
        engine.documents.add_root(folder)
        began = time.perf_counter()
        for item in map(referenced, documents_in([folder])):
            assert _label(item, taxonomy, toolbox) == kind_of(item.name)
        return time.perf_counter() - began, {}


def _label(item: Item, taxonomy: DocumentRef, toolbox: Toolbox) -> object:
    assert item.ref is not None
    rules = taxonomy.model_dump(mode="json")
    text = get("extract").run({"document": item.ref.model_dump(mode="json")}, toolbox).model_dump(mode="json")["text"]
    found = get("classify").run({"text": text, "taxonomy": rules}, toolbox).model_dump(mode="json")
    get("summarise").run({"text": text, "taxonomy": rules}, toolbox).model_dump(mode="json")
    asked = {"label": found["label"], "score": found["score"], "taxonomy": rules}
    assert not get("policy").run(asked, toolbox).model_dump(mode="json")["approval_required"]
    return found["label"]


def _peak() -> float:
    """Return this program's peak memory in MB; Linux's getrusage would count the parent's before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / _KIB_PER_MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS says bytes


if __name__ == "__main__":
    main(*sys.argv[1:])
