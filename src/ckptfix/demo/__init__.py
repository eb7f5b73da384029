"""A small checkpoint with the very bug, to try the tool on."""
