"""What is said about tool calls."""

from __future__ import annotations

from typing import ClassVar

from shared.events.envelope import Fact
from shared.events.ids import Position


class ToolCalled(Fact):
    """A tool ran and answered. `step` is the step it served; `document` the document it worked on."""

    type: ClassVar[str] = "tool.called"

    tool: str
    document: Position
    step: str
    input_sha256: str
    output_sha256: str
