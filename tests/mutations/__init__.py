"""Break one thing at a time in healthy checkpoints, and see that `check` reports it."""
