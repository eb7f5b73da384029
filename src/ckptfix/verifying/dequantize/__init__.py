"""Stored bytes -> numbers: one file per family of formats; `registry` is the table."""
