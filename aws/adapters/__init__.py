"""Ports on AWS products. They do what they are told, once: retries are set in wiring, decisions made in core."""
