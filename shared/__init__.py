"""The portable core: what is said, decided, needed and done. Knows no cloud."""
