"""Kernels against the machine: products beside its peak of multiply-adds, streams beside its bandwidths."""
