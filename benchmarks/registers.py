"""Registers of the CUDA kernels, by NVRTC alone: a row a kernel, the most that any of its variants takes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rushlight.runtime.cuda.compile import ARCHITECTURES, Nvrtc, nvrtc, resources
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.source import Kernel

HOPPER = "sm_90a"


def variants() -> dict[str, list[Kernel]]:
    """Of every kernel all that calls may launch, by its name."""
    named: dict[str, list[Kernel]] = {}
    for family in families().values():
        for row in family.all_rows:
            for kernel in family.kernels(row):
                own = named.setdefault(kernel.name, [])
                if kernel not in own:
                    own.append(kernel)
    return dict(sorted(named.items()))


def most_registers(compiler: Nvrtc, kernels: Sequence[Kernel], arch: str) -> str:
    """Registers of a thread, with the bytes that spill where some do; "-" of kernels for another architecture."""
    if arch != HOPPER:
        kernels = [kernel for kernel in kernels if not kernel.name.endswith("_sm90")]
    if not kernels:
        return "-"
    used = [resources(compiler.compile(kernel, arch)[1]) for kernel in kernels]
    spills = max(each.spills for each in used)
    return f"{max(each.registers for each in used)}" + (f" ({spills} bytes spill)" if spills else "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registers", description=__doc__)
    parser.add_argument("archs", nargs="*", metavar="ARCH", default=["sm_80", HOPPER], help=", ".join(ARCHITECTURES))
    parser.add_argument("--kernels", type=lambda text: text.split(","), help="names (default: all)")
    options = parser.parse_args()
    named = variants()
    compiler = nvrtc()
    print(f"NVRTC {'.'.join(map(str, compiler.version))}\n")
    print(f"| kernel | variants | {' | '.join(options.archs)} |\n|---|---|{'---|' * len(options.archs)}")
    for name in options.kernels or named:
        cells = [most_registers(compiler, named[name], arch) for arch in options.archs]
        print(f"| {name} | {len(named[name])} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
