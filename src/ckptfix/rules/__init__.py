"""Rules: one file per family of findings."""
