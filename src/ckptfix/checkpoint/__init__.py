"""What a checkpoint contains: tensors and metadata."""
