"""Builds a runtime's own model class on the meta device, and records what it looks up and loads.

Runs in the Python that the runtime is installed in, without ckptfix: it imports torch, transformers
and the runtime only. `main` answers questions about one checkpoint after another;
`tools/place_learner` builds every class of a release with the same parts.
"""
