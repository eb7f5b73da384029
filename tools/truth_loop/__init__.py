"""The loop that keeps the answers true: break checkpoints, ask the real runtimes, compare."""
