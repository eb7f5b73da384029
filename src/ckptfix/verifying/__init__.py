"""Reads weights, dequantizes, runs GEMMs, compares. The only package that imports torch."""
