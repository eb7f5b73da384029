"""Checkpoints that are not directories: repositories of a Hub, and anything that fsspec opens."""
