"""Facts about a runtime release, read from its source without importing it."""
