"""Serve models over HTTP by the Open Inference Protocol v2, with dynamic batching. Needs `rushlight[server]`."""
