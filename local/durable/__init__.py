"""A replay hub for durable orchestrations in one SQLite file: what Azure's extension does, on a laptop."""
