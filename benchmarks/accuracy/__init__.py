"""Whole models against PyTorch and ONNX Runtime, and int8 against float: `python -m benchmarks.accuracy --help`."""
