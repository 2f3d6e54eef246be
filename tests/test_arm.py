"""The kernels for ARM64, cross-compiled and run by an emulator, give the bits that x86's gave for the same calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rushlight.runtime.cpu import _core
from tests.replay.calls import recorded_calls

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "aarch64"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
PACKAGES = {COMPILER: "g++-aarch64-linux-gnu", EMULATOR: "qemu-user"}
MISSING = [f"{tool} (Debian: {package})" for tool, package in PACKAGES.items() if not shutil.which(tool)]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif("neon" in _core.available_isas(), reason="this machine runs the kernels for ARM itself"),
]


def checked(*command: str | Path, **more: str) -> str:
    """Standard output of a command that must succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where cmake and ninja are
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path, **more}, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-8000:]}{done.stderr[-8000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def replay() -> Path:
    """The emulator's program: tests/replay/replay.cc with all kernels."""
    checked(
        "cmake", "-S", ".", "-B", BUILD, "-G", "Ninja", "-DRUSHLIGHT_REPLAY=ON", "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_CXX_COMPILER={COMPILER}",
    )  # fmt: skip
    checked("cmake", "--build", BUILD, "--parallel")
    return BUILD / "runtime" / "cpu" / "replay"


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_calls(tmp_path_factory)


def emulate(cpu: str, replay: Path, calls: Path) -> tuple[list[str], dict[str, int]]:
    """The instruction sets of an emulated CPU, and how many calls each of its rows made, all with the right bits."""
    isas, *rows = checked(EMULATOR, "-cpu", cpu, replay, calls).splitlines()
    return isas.split()[1:], {symbol: int(count) for symbol, count in (row.split() for row in rows)}


def test_same_bits_as_on_x86(replay: Path, calls: Path) -> None:
    isas, made = emulate("max", replay, calls)
    assert isas == ["generic", "neon", "neondot"]
    assert {symbol.rsplit("_", 1)[1] for symbol in made} == {*isas}
    assert [symbol for symbol, count in made.items() if not count and not symbol.endswith("generic")] == []


def test_objects_export_kernels_only(replay: Path) -> None:
    """As scripts/check-symbols asks of x86's: a weak symbol made for SDOT could be the copy that every CPU runs."""
    objects = sorted(BUILD.rglob("arm_*.o"))
    assert objects
    symbols = checked(COMPILER.replace("g++", "nm"), "-C", "--defined-only", *objects)
    assert [line for line in symbols.splitlines() if line[17:19] in ("W ", "V ", "u ")] == []


def test_a_cpu_without_dot_products_is_told_apart(replay: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.touch()
    assert emulate("cortex-a53", replay, nothing)[0] == ["generic", "neon"]
