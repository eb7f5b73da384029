"""Rewriting metadata: plan (pure), then apply."""
