"""What quantizers write: one file of this folder (or package) a quantizer, found by `registry`."""
