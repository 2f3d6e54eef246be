"""Kernels against the machine: matrix kernels beside its peak, streams beside its bandwidths, one line a shape."""

from __future__ import annotations

import argparse

from benchmarks.kernels import products, streams
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import ISAS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa")
    parser.add_argument("--only", default="", help="kernels whose symbol contains this")
    parser.add_argument("--shape", default="", help="matrix shapes whose name contains this")
    parser.add_argument("--kinds", choices=["all", "products", "streams"], default="all")
    parser.add_argument("--seconds", type=float, default=0.1, help="time for each kernel and shape")
    args = parser.parse_args()
    peaks = _core.measure_peaks(args.threads, ISAS[args.isa] if args.isa else None)
    flops, ops, read, cache = (peak / 1e9 for peak in peaks)
    print(
        f"{args.threads} threads: f32 {flops:.0f} GFLOP/s, int8 {ops:.0f} GOP/s, read {read:.1f} GB/s from memory, "
        f"{cache:.0f} GB/s from the cache"
    )
    if args.kinds != "streams":
        for line in products.report(args.isa, args.only, args.shape, args.threads, args.seconds, peaks):
            print(line, flush=True)
    if args.kinds != "products":
        print(f"streams, bytes read and written, beside those of {streams.BOUND}")
        for line in streams.report(args.isa, args.only, args.threads, args.seconds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
