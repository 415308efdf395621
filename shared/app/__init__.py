"""How it is done: use cases. Load, decide (in `core`), write once, publish."""
