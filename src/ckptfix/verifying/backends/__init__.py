"""GEMM backends, one per file, `choice` picks one for a layer."""
