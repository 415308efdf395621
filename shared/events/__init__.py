"""What is said: CloudEvents 1.0, one file per subject, one catalog of types."""
