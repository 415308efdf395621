"""Each cloud on a laptop: its real handlers, called with its real envelopes."""
