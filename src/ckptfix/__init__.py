"""Make a quantized checkpoint's metadata and a serving runtime's module names meet."""

__version__ = "0.1.0"
