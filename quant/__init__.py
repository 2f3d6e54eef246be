"""Quantization: observers, placement, calibration, report."""

from .quantize import quantize

__all__ = ["quantize"]
