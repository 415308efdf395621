"""The ports on GCP's products; nothing here decides anything."""
