"""Every system call of a rewrite fails once."""
