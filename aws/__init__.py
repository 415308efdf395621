"""AWS: the front door, the dispatcher and the short pipelines."""
