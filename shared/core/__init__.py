"""What is decided: pure functions and values. No I/O, clock, randomness, logging or environment."""
