"""Models that run inside the process."""
