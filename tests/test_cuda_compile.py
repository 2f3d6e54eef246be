"""The CUDA kernels compiled for every architecture, without a GPU: registers, spills, instructions; and the cache."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rushlight as rl
from rushlight.runtime.cuda import compile as compilation
from rushlight.runtime.cuda.cache import cached
from rushlight.runtime.cuda.compile import ARCHITECTURES, architecture, compile_kernel, nvrtc, resources
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.gpu import GpuDevice, device_names
from rushlight.runtime.cuda.source import Kernel
from rushlight.runtime.cuda.tiles import FLOAT_TILES, HOPPER_TILES, TILES, HopperTile
from rushlight.runtime.errors import DeviceError, UnsupportedError

LARGE, MEDIUM, SMALL, FLAT = TILES
DEPTHWISE = Kernel("qdepthwise", (("COLUMNS", 4),))
COPIES = {"LDSM.16.M88.4", "LDGSTS.E.BYPASS"}
PRODUCT = {"IMMA.16832.U8.S8", *COPIES}
TF32 = {"HMMA.1688.F32.TF32", *COPIES}
VARIANTS = {
    "large": (LARGE.kernel(16, True), 255, PRODUCT),
    "medium": (MEDIUM.kernel(8, True), 192, PRODUCT),
    "small": (SMALL.kernel(1, True), 192, PRODUCT),
    "flat": (FLAT.kernel(16, False), 96, PRODUCT),
    "tf32-large": (LARGE.kernel(16, False, "tgemm"), 255, TF32),
    "tf32-medium": (MEDIUM.kernel(4, True, "tgemm"), 192, TF32),
    "tf32-small": (SMALL.kernel(16, True, "tgemm"), 128, TF32),
    "tf32-attention": (Kernel("attention", (("QUERIES", 32), ("TF32", 1))), 128, {"HMMA.1688.F32.TF32"}),
    "depthwise": (DEPTHWISE, 80, {"FFMA"}),
    "float": (FLOAT_TILES[0].kernel("f32", 4), 168, {"FFMA", "LDGSTS.E.BYPASS.128"}),
    "half": (FLOAT_TILES[1].kernel("f16", 4), 128, {"FFMA", "HADD2.F32", "LDGSTS.E.BYPASS.128"}),
}
"""Kernel, its budget of registers, and the instructions that it is written for."""
HOPPER_WAYS = [(False, 128), (True, 128), (True, 64), (True, 32)]
HOPPER_VARIANTS = [*(("qgemm", *way) for way in HOPPER_WAYS), *(("tgemm", *way) for way in HOPPER_WAYS[::3])]
"""What they multiply, whether they convolve, and bytes of a chunk: of integers all there are."""
HOPPER_PRODUCTS = {"qgemm": "IGMMA.64x{}x32.U8.S8", "tgemm": "HGMMA.64x{}x8.F32.TF32"}


@pytest.fixture
def compiler() -> compilation.Nvrtc:
    try:
        return nvrtc()
    except DeviceError as error:
        pytest.skip(str(error))


def disassemble(cubin: bytes, path: Path) -> str | None:
    """Machine code as text, None without NVIDIA's disassembler."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or []) if spec else []
    tools = [tool for folder in folders for tool in Path(folder).glob("*/bin/nvdisasm")]
    if not tools:
        return None
    path.write_bytes(cubin)
    return subprocess.run([str(tools[0]), "-c", str(path)], capture_output=True, text=True, check=True).stdout


def check_code(
    compiler: compilation.Nvrtc, kernel: Kernel, arch: str, budget: int, wanted: set[str], path: Path
) -> None:
    cubin, log = compiler.compile(kernel, arch)
    used = resources(log)
    assert used.registers <= budget
    assert (used.stack, used.spills) == (0, 0)
    assert "warning" not in log
    code = disassemble(cubin, path)
    if code is None:
        pytest.skip("registers and spills are in budget; nvidia-cuda-nvdisasm, which reads instructions, is missing")
    assert [name for name in wanted if name not in code] == []
    assert re.findall(r"\b(?:LDL|STL)\b", code) == []


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernel_compiles_without_spills(variant: str, arch: str, compiler: compilation.Nvrtc, tmp_path: Path) -> None:
    kernel, budget, wanted = VARIANTS[variant]
    check_code(compiler, kernel, arch, budget, wanted, tmp_path / "cubin")


FAMILY_REGISTERS = 128
"""Half of what 256 threads may have if two blocks are to share a multiprocessor."""
STACK = {("unary", "sin"), ("unary", "cos")}
"""Kernels and functions that index an array by what they compute, in the local memory: bits of 2/pi."""


PRODUCT_REGISTERS: dict[str, dict[int | str | None, int]] = {
    "BLOCK_N": {256: 255, 128: 192}, "THREAD_M": {8: 168}, "LOAD_BYTES": {1: 204},
}  # fmt: skip
"""Of kernels that have no more than this: what fits their number of threads, which do without a second block."""
PRODUCT_ARCHITECTURE = "sm_90a"
"""Where all variants of products are compiled, because they take the most registers there; `VARIANTS` has some of them
for every architecture."""


def family_kernels(arch: str) -> list[Kernel]:
    rows = [(family, row) for family in families().values() for row in family.all_rows]
    kernels = [kernel for family, row in rows for kernel in family.kernels(row)]
    done = {variant[0] for variant in VARIANTS.values()}
    done |= {kernel for kernel in kernels if kernel.name.endswith("_sm90")}
    if arch != PRODUCT_ARCHITECTURE:
        done |= {kernel for kernel in kernels if kernel.name in ("qgemm", "tgemm", "fgemm")}
    return [kernel for kernel in dict.fromkeys(kernels) if kernel not in done]


def register_budget(kernel: Kernel) -> int:
    defines = dict(kernel.defines)
    budgets = [own.get(defines.get(name), 0) for name, own in PRODUCT_REGISTERS.items()]
    return max(FAMILY_REGISTERS, *budgets)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_of_families_compile_without_spills(arch: str, compiler: compilation.Nvrtc) -> None:
    for kernel in family_kernels(arch):
        used = resources(compiler.compile(kernel, arch)[1])
        what = f"{kernel.name} {dict(kernel.defines)}: {used}"
        assert used.registers <= register_budget(kernel), what
        assert used.spills == 0, what
        assert used.stack == 0 or (kernel.name, dict(kernel.defines).get("FUNCTION")) in STACK, what


@pytest.mark.parametrize("tile", HOPPER_TILES, ids=str)
@pytest.mark.parametrize(("name", "convolve", "chunk"), HOPPER_VARIANTS)
def test_hopper_kernel_compiles_without_spills(
    tile: HopperTile, name: str, convolve: bool, chunk: int, compiler: compilation.Nvrtc, tmp_path: Path
) -> None:
    product = HOPPER_PRODUCTS[name].format(tile.block_n)
    wanted = {product, "UTMALDG.2D", "USETMAXREG", *(("UTMALDG.4D.IM2COL",) * convolve)}
    budget = 168 // tile.blocks // 8 * 8
    check_code(compiler, tile.kernel(convolve, chunk, name), "sm_90a", budget, wanted, tmp_path / "cubin")


def test_every_hopper_kernel_is_compiled_here() -> None:
    gemm = families()["gemm"]
    kernels = [kernel for row in gemm.all_rows for kernel in gemm.kernels(row)]
    expected = {tile.kernel(*way) for tile in HOPPER_TILES for way in HOPPER_WAYS}
    assert {kernel for kernel in kernels if kernel.name == "qgemm_sm90"} == expected
    assert {kernel for kernel in kernels if kernel.name == "tgemm_sm90"} == {
        tile.kernel(*way, "tgemm") for tile in HOPPER_TILES for way in HOPPER_WAYS
    }


def test_hopper_kernel_needs_its_architecture(compiler: compilation.Nvrtc) -> None:
    with pytest.raises(DeviceError, match="qgemm_sm90 does not compile for sm_80"):
        compiler.compile(HOPPER_TILES[0].kernel(), "sm_80")


def test_cubins_are_compiled_once(compiler: compilation.Nvrtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path))
    kernel = Kernel("quantize_table")
    first = compile_kernel(kernel, "sm_80")
    assert first.read_bytes().startswith(b"\x7fELF")
    monkeypatch.setattr(compilation.Nvrtc, "compile", lambda *_: pytest.fail("compiled again"))
    assert compile_kernel(kernel, "sm_80") == first
    monkeypatch.undo()
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path))
    assert compile_kernel(kernel, "sm_86") != first
    assert sorted(path.suffix for path in first.parent.iterdir()) == [".cubin", ".cubin"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DeviceError, match="RUSHLIGHT_CACHE_DIR"):
        cached(["key"], ".cubin", lambda: b"")


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_find_nvrtc", lambda: None)
    with pytest.raises(DeviceError, match="nvidia-cuda-nvrtc"):
        compilation.Nvrtc()


def test_architectures() -> None:
    assert [architecture(8, 6), architecture(9, 0), architecture(12, 0)] == ["sm_86", "sm_90a", "sm_120"]
    with pytest.raises(DeviceError, match=r"7\.5"):
        architecture(7, 5)


def test_parameters_must_be_complete() -> None:
    with pytest.raises(TypeError, match=r"\['p'\]"):
        Kernel("unary", (("FUNCTION", "neg"),)).pack(x=0, out=0)


def test_numbers_beyond_a_kernels_bits_are_refused() -> None:
    kernel = Kernel("unary", (("FUNCTION", "neg"),))
    params = {"n": 1 << 63, "alpha": 0.0, "beta": 0.0}
    with pytest.raises(UnsupportedError, match="unary"):
        kernel.pack(x=0, out=0, p=params)


def test_import_loads_no_gpu_library() -> None:
    code = (
        "import sys; import rushlight.runtime.cuda.gpu, rushlight.runtime.cuda.products; "
        "assert not {'cupy', 'nvidia', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_backends_name_what_there_is() -> None:
    assert sorted(rl.backends()) == (["cpu", "cuda"] if device_names() else ["cpu"])


def test_without_a_gpu_opening_one_is_a_device_error() -> None:
    with pytest.raises(DeviceError) as caught:
        pytest.skip(f"there is one: {GpuDevice().name}")
    assert "\n" not in str(caught.value)
