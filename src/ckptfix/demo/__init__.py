"""A small checkpoint that has the bug, to try the tool on."""
