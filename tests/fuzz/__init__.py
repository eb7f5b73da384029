"""Hostile input: whatever a file says, a report or one sentence."""
