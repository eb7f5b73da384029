"""Who multiplies: one file a backend, `choice` picks one for a layer."""
