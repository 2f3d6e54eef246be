"""Lowering rules: each module exports `RULES`, a dict from operator name or operator family to rule."""
