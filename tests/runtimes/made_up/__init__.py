"""A runtime that nobody has, for test_adding.py: all that adding one takes."""
