"""What quantizers write: one file or package per quantizer, found by `registry`."""
