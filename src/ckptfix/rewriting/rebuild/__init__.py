"""Rebuilding the metadata from the tensors."""
