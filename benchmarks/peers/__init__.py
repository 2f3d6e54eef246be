"""Latency, memory and accuracy of Rushlight beside other runtimes, on public architectures."""
