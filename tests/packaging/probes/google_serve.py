"""Serves a function of the deployed source with functions-framework, as its buildpack starts it."""

from __future__ import annotations

import runpy
import sys


def main(given: list[str]) -> None:
    """Become the server."""
    sys.argv = ["functions-framework", *given]
    runpy.run_module("functions_framework", run_name="__main__")
