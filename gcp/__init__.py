"""GCP: the system of record, fed by ordered Pub/Sub push and kept in Spanner."""
