"""What a serving runtime would do with a checkpoint."""
