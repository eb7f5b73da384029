"""What a checkpoint says, by its tensors and by its metadata."""
