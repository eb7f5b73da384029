"""Rules: one file a family of findings."""
