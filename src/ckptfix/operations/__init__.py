"""The operations of the Python API, one per file: typed in, typed out, nothing printed."""
