"""The parts of tools/record_lookups.py: what it calls of each runtime."""
