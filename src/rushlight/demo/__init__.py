"""The demo: an image classifier built, quantized and served without PyTorch."""
