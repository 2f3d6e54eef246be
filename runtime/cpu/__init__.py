"""The CPU backend: the nanobind core, kernel lowering."""
