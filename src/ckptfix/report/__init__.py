"""Renderers: each turns the same objects into one output format."""
