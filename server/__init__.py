"""Serve models over HTTP: Open Inference Protocol v2, dynamic batching, metrics and a page. Needs `rushlight[server]`."""
