"""One file per tool, and the registry that finds them."""
