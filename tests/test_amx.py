"""The kernels on AMX's tile registers. CPUs with AMX run them in the other tests; here a core in which a model in C
takes the place of the instructions (tests/amx) runs those tests, the model is held against NumPy and against the
exceptions that the CPU would raise, and the compiled kernels are searched for their instructions."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import best_isa
from rushlight.runtime.errors import DeviceError
from rushlight.runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
Array = npt.NDArray[Any]

pytestmark = pytest.mark.skipif(
    "avx512vnni" not in _core.available_isas(), reason="AMX's kernels take AVX512-VNNI, which this CPU lacks"
)


def built(pattern: str) -> Path:
    """The one file of scripts/build's folder that the pattern names."""
    (found,) = (ROOT / "build" / "dev").glob(pattern)
    return found


@pytest.fixture(scope="module")
def core() -> Path:
    return built("modelled/_core.*.so")


def config(rows: dict[int, tuple[int, int]], palette: int = 1, start_row: int = 0, reserved: int = 0) -> bytes:
    """What ldtilecfg reads; `rows`: rows and bytes a row of some registers."""
    data = np.zeros(64, np.uint8)
    data[:3] = palette, start_row, reserved
    for tile, (count, width) in rows.items():
        data[16 + 2 * tile], data[48 + tile] = width, count
    return data.tobytes()


class Model:
    """The model's instructions; each returns the exception's text, None if there is none."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._configure, self._load, self._store = (
            self._function(library, "configure", ctypes.c_char_p),
            self._function(library, "load", ctypes.c_int, ctypes.c_void_p, ctypes.c_int64),
            self._function(library, "store", ctypes.c_int, ctypes.c_void_p, ctypes.c_int64),
        )
        self.multiply_add = self._function(library, "multiply_add", *[ctypes.c_int] * 3)
        self.release = self._function(library, "release")

    @staticmethod
    def _function(library: ctypes.CDLL, name: str, *types: Any) -> Callable[..., str | None]:
        function = library[f"model_{name}"]
        function.argtypes, function.restype = types, ctypes.c_char_p

        def call(*args: Any) -> str | None:
            found = function(*args)
            return None if found is None else str(found, "ascii")

        return call

    def configure(self, rows: dict[int, tuple[int, int]], **others: int) -> str | None:
        return self._configure(config(rows, **others))

    def load(self, tile: int, array: Array) -> str | None:
        """Rows as far apart as the array's, which may all be the same one."""
        return self._load(tile, array.ctypes.data, array.strides[0])

    def store(self, tile: int, array: Array) -> str | None:
        return self._store(tile, array.ctypes.data, array.strides[0])


@pytest.fixture
def model(core: Path) -> Iterator[Model]:
    model = Model(core)
    yield model
    model.release()


@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (1, 1, 1), (16, 16, 5), (3, 16, 16), (7, 9, 2), (16, 1, 16)])
def test_the_model_multiplies(model: Model, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m * n * k)
    a = rng.integers(0, 256, (m, 4 * k + 8)).astype(np.uint8)[:, : 4 * k]
    b = rng.integers(-128, 128, (k, n, 4)).astype(np.int8)
    start = rng.integers(-(2**31), 2**31, (m, n)).astype(np.int32)
    out = np.full((m, n + 3), 7, np.int32)
    assert model.configure({2: (m, 4 * n), 5: (m, 4 * k), 1: (k, 4 * n)}) is None
    assert [model.load(tile, array) for tile, array in ((2, start), (5, a), (1, b))] == [None] * 3
    assert model.multiply_add(2, 5, 1) is None
    assert model.store(2, out) is None
    exact = start + a.astype(np.int64) @ b.transpose(0, 2, 1).reshape(4 * k, n).astype(np.int64)
    np.testing.assert_array_equal(out[:, :n], exact.astype(np.int32))
    assert (out[:, n:] == 7).all()


def test_the_model_loads_one_row_for_all_and_forgets(model: Model) -> None:
    rows, out = np.arange(16, dtype=np.int32), np.zeros((16, 16), np.int32)
    sizes = {0: (16, 64)}
    assert model.configure(sizes) is None
    assert model.load(0, np.broadcast_to(rows, (16, 16))) is None
    assert model.store(0, out) is None
    np.testing.assert_array_equal(out, np.broadcast_to(rows, (16, 16)))
    assert model.configure(sizes) is None  # clears every register
    assert model.store(0, out) is None
    assert not out.any()


FULL = dict.fromkeys(range(8), (16, 64))


@pytest.mark.parametrize(
    ("sizes", "others", "words"),
    [
        (FULL, {"palette": 2}, "no such palette"),
        (FULL, {"start_row": 3}, "start row"),
        (FULL, {"reserved": 1}, "reserved"),
        ({8: (16, 64)}, {}, "palette 1 has not"),
        ({0: (17, 64)}, {}, "larger"),
        ({0: (16, 65)}, {}, "larger"),
        ({0: (16, 0)}, {}, "not both"),
        ({0: (0, 64)}, {}, "not both"),
    ],
)
def test_the_model_refuses_sizes(
    model: Model, sizes: dict[int, tuple[int, int]], others: dict[str, int], words: str
) -> None:
    assert words in (model.configure(sizes, **others) or "")


@pytest.mark.parametrize(
    ("sizes", "tiles", "words"),
    [
        (FULL, (0, 1, 1), "twice"),
        (FULL, (2, 1, 2), "twice"),
        ({0: (16, 64), 1: (16, 64)}, (0, 1, 2), "not configured"),
        ({0: (16, 64), 1: (16, 62), 2: (16, 64)}, (0, 1, 2), "fraction"),
        ({0: (16, 64), 1: (15, 64), 2: (16, 64)}, (0, 1, 2), "rows of the sum"),
        ({0: (16, 64), 1: (16, 64), 2: (16, 60)}, (0, 1, 2), "columns of the sum"),
        ({0: (16, 64), 1: (16, 60), 2: (16, 64)}, (0, 1, 2), "a column for every row"),
    ],
)
def test_the_model_refuses_factors(
    model: Model, sizes: dict[int, tuple[int, int]], tiles: tuple[int, int, int], words: str
) -> None:
    assert model.configure(sizes) is None
    assert words in (model.multiply_add(*tiles) or "")


def test_the_model_refuses_registers_without_a_size(model: Model) -> None:
    memory = np.zeros((16, 64), np.uint8)
    assert model.configure({0: (16, 64)}) is None
    assert model.load(0, memory) is None
    model.release()
    assert "tileloadd" in (model.load(0, memory) or "")
    assert "tilestored" in (model.store(0, memory) or "")


TESTS = {
    "kernels": ("tests/test_kernels_gemm.py", "amxint8 or int8_convolution or epilogue", 40),
    "tiles": ("tests/test_kernels_gemm_tiles.py", "amxint8", 2),
    "plans": ("tests/test_lower_gemm.py", "", 40),
    "packing": ("tests/test_packing.py", "amxint8", 2),
    "models": ("tests/test_models_same_bits.py", "int8 and (amxint8 or avx512vnni) and not float", 0),
}
"""Tests that the core with the model runs as well: the file, which of them, and how many at least."""


@pytest.mark.parametrize("name", TESTS)
def test_kernels_on_the_model(core: Path, name: str) -> None:
    file, chosen, least = TESTS[name]
    environment = os.environ | {
        "RUSHLIGHT_TEST_CORE": str(core),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "amx"), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [sys.executable, "-c", "from rushlight.runtime.cpu import _core; print(_core.available_isas()[-1])"]
    isa = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert isa.strip() == "amxint8"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file, "-k", chosen]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert int(passed[1] if passed else 0) >= least, done.stdout


def test_the_object_holds_the_instructions_of_amx_int8_alone() -> None:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is missing")
    compiled = built("runtime/cpu/CMakeFiles/rushlight_kernels.dir/kernels/gemm/x86_amxint8.*o")
    command = [objdump, "--disassemble", "--no-show-raw-insn", str(compiled)]
    code = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    instructions = set(re.findall(r"^\s*[0-9a-f]+:\t(\w+)", code, re.MULTILINE))
    on_tiles = {name for name in instructions if re.match(r"(st|ld)?tile|tdp|t\w*mm", name)}
    assert on_tiles == {"ldtilecfg", "tileloadd", "tdpbusd", "tilestored", "tilerelease"}
    newer = {name for name in instructions if re.match(r"v\w+(bf16|ph|sh)\b|vperm(i2|t2)?b\b", name)}
    assert not newer, "of AVX512-BF16, -FP16 or -VBMI, which the flags do not allow"


@pytest.mark.skipif("amxint8" in _core.available_isas(), reason="this CPU has AMX")
def test_it_can_not_be_forced_without_the_hardware() -> None:
    with pytest.raises(DeviceError, match="amxint8: this machine has generic"):
        best_isa(Settings(force_isa="amxint8"))
