"""Typer commands: parse, call, pick a renderer, set the exit code."""
