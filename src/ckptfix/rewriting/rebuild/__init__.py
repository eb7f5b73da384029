"""Metadata made again from what the tensors say: `rewrite --from-tensors`."""
