"""Reads PyTorch modules and exported programs, through PyTorch."""
