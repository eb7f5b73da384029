"""Small checkpoints in Mistral's own format, judged by the real runtimes."""
