"""Peak resident memory of loading a model and running it once, in Rushlight and other runtimes.

    python -m benchmarks.peers.memory resnet50.onnx bert_base.onnx --batch 1,8 [--folder FOLDER]

Every figure is VmHWM of /proc/self/status, in MiB, of a process of its own, which imports NumPy and one runtime, reads
the input from a file, loads, runs once, and ends. Rushlight loads the .rush file made from the ONNX file, and the same
one packed; OpenVINO reads the ONNX file, and its own format made from it. What is made lies in FOLDER and is made once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Feeds: TypeAlias = Mapping[str, npt.NDArray[Any]]

THREADS = 2


def run_rushlight(model: Path, feeds: Feeds) -> None:
    import rushlight

    rushlight.load(model, threads=THREADS).run(feeds)


def run_onnxruntime(model: Path, feeds: Feeds) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = THREADS, 1, 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    session.run(None, dict(feeds))


def run_openvino(model: Path, feeds: Feeds) -> None:
    import openvino

    wanted = {
        "INFERENCE_NUM_THREADS": THREADS,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    openvino.Core().compile_model(str(model), "CPU", wanted).create_infer_request().infer(dict(feeds))


def make_rush(source: Path, target: Path) -> None:
    import rushlight

    rushlight.export(source).save(target)


def make_packed(source: Path, target: Path) -> None:
    import rushlight
    from rushlight.runtime.cpu.backend import best_isa
    from rushlight.runtime.packing import pack

    plain = target.with_name(f"{source.stem}.rush")
    if not plain.exists():
        make_rush(source, plain)
    pack(rushlight.open(plain), [best_isa()]).save(target)


def make_openvino(source: Path, target: Path) -> None:
    import openvino

    openvino.save_model(openvino.Core().read_model(str(source)), str(target), compress_to_fp16=False)


ENGINES: dict[str, tuple[Callable[[Path, Feeds], None], str, Callable[[Path, Path], None] | None]] = {
    "rushlight": (run_rushlight, ".rush", make_rush),
    "packed": (run_rushlight, ".packed.rush", make_packed),
    "onnxruntime": (run_onnxruntime, ".onnx", None),
    "openvino": (run_openvino, ".onnx", None),
    "openvino ir": (run_openvino, ".xml", make_openvino),
}
"""What runs a file, the ending of the file, and what makes it of the ONNX file."""

OURS = ("rushlight", "packed")


def peak_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def child(engine: str, model: Path, data: Path) -> None:
    with np.load(data) as arrays:
        feeds = dict(arrays)
    run, _, _ = ENGINES[engine]
    run(model, feeds)
    print(json.dumps(peak_kilobytes()))


def random_feeds(source: Path, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Inputs of an ONNX file whose free dimensions are the batch: normal floats, token ids, masks of ones and zeros."""
    import onnx

    rng = np.random.default_rng(0)
    model = onnx.load(source, load_external_data=False)
    constants = {tensor.name for tensor in model.graph.initializer}
    feeds: dict[str, npt.NDArray[Any]] = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        kind = value.type.tensor_type
        shape = [dim.dim_value or batch for dim in kind.shape.dim]
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        if dtype.kind == "f":
            feeds[value.name] = rng.standard_normal(shape).astype(dtype)
        else:
            feeds[value.name] = np.asarray(rng.integers(0, 2 if "mask" in value.name else 1000, shape)).astype(dtype)
    return feeds


def measure(engine: str, model: Path, data: Path) -> float:
    """MiB. Raises RuntimeError where the process fails."""
    command = [sys.executable, "-m", "benchmarks.peers.memory", "--child", engine, str(model), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{engine}, {model.name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return float(json.loads(done.stdout.splitlines()[-1])) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--folder", type=Path, help="where the converted models are (default: a temporary folder)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        engine, model, data = args.child
        child(engine, Path(model), Path(data))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        print(f"{'model':22}{'batch':>6}", *(f"{engine:>12}" for engine in ENGINES), f"{'peer / ours':>12}")
        for source in args.models:
            files = {}
            for engine, (_, ending, make) in ENGINES.items():
                files[engine] = source if make is None else folder / f"{source.stem}{ending}"
                if make is not None and (engine == "packed" or not files[engine].exists()):
                    make(source, files[engine])  # a packed file fits one build only
            for batch in map(int, args.batch.split(",")):
                data = Path(temporary, "feeds.npz")
                np.savez(data, **random_feeds(source, batch))  # type: ignore[arg-type]
                peaks = {engine: measure(engine, file, data) for engine, file in files.items()}
                ratio = min(peak for engine, peak in peaks.items() if engine not in OURS) / peaks["rushlight"]
                figures = "".join(f" {peak:12.0f}" for peak in peaks.values())
                print(f"{source.stem:22}{batch:6}{figures} {ratio:12.2f}", flush=True)


if __name__ == "__main__":
    main()
