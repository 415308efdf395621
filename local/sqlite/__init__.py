"""The ports on SQLite, one file: tasks, records, documents and the broker between the clouds."""
