"""Stored bytes -> numbers: one file a family of formats; `registry` is the table."""
