"""What the weights say: read, dequantize, run, compare. The only package that imports torch."""
