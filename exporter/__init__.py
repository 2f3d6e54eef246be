"""Turns models of other frameworks into programs."""
