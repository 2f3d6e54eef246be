"""Lowering rules, a module a kernel family: each exports `RULES`, a dict from operator name or operator family to rule."""
