"""What the tool can do, one file an operation: typed in, typed out, prints nothing."""
