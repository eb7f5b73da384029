"""Tensors renamed in the headers of shard files, without moving their data."""
