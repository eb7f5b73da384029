"""Builds a runtime's own model class on the meta device, and notes what it asks and loads.

Runs in the Python that the runtime is installed in, where ckptfix is not: it imports torch,
transformers and the runtime, and nothing of ckptfix. `main` answers questions about one checkpoint
after the other; `tools/place_learner` builds every class of a release with the same parts.
"""
