"""A Lambda function that answers by the book: call by call what `outcomes.json` beside it says.

The twin of `Functions` in conftest, for interpreters that call real functions; it runs in their environment, so it may
know the standard library alone.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from itertools import count
from pathlib import Path
from typing import Any


def handler(_payload: Any, _context: Any) -> Any:
    """Answer with the next outcome; a turn is taken once, whichever process takes it."""
    outcomes = json.loads(Path(__file__).with_name("outcomes.json").read_text(encoding="utf-8"))
    outcome = outcomes[next(turn for turn in count() if _is_mine(turn))]
    threading.Event().wait(outcome.get("takes", 0))
    if "raise" in outcome:
        raise type(outcome["raise"], (Exception,), {})(outcome["message"])
    return "x" * outcome["returnCharacters"] if "returnCharacters" in outcome else outcome["return"]


def _is_mine(turn: int) -> bool:
    try:
        (Path(tempfile.gettempdir()) / f"{os.environ['AWS_LAMBDA_FUNCTION_NAME']}-{turn}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
