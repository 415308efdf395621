"""The fourth place the handlers run: a laptop. May import everything."""
