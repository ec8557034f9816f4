"""What answers: one engine kind a file, one contract (``engines.base``)."""
