"""Packed files: the same answers without packing, shared between processes, refused or prepared anew where they do not
fit."""

import json
import struct
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rushlight as rl
from benchmarks.load import Process
from rushlight.cli import main
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import ISAS, best_isa
from rushlight.runtime.packing import pack

RNG = np.random.default_rng(3)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def weights(*shape: int) -> Any:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def network() -> rl.Program:
    """Every family that packs weights, and constants that are not packed."""
    b = rl.GraphBuilder()
    x = b.input("image", np.float32, ("N", 3, 14, 14))
    x = b.relu(b.conv2d(x, weights(24, 3, 3, 3), weights(24), padding=(1, 1, 1, 1)))
    x = b.relu(b.conv2d(x, weights(24, 1, 3, 3), weights(24), padding=(1, 1, 1, 1), groups=24))
    x = b.add(x, b.conv2d(x, weights(24, 24, 1, 1), weights(24)))
    x = b.mean(x, dim=(2, 3))
    x = b.mul(b.linear(x, weights(40, 24), weights(40)), weights(40))
    b.output("y", b.matmul(x, weights(40, 7)))
    return b.build()


@pytest.fixture(scope="module")
def image() -> Any:
    return RNG.standard_normal((3, 3, 14, 14)).astype(np.float32)


@pytest.fixture(scope="module", params=["float", "int8"])
def program(request: pytest.FixtureRequest, image: Any) -> rl.Program:
    program = network()
    return rl.quantize(program, {"image": image}) if request.param == "int8" else program


@pytest.fixture(scope="module")
def packed_file(program: rl.Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed for all instruction sets, those that this machine lacks included."""
    path = tmp_path_factory.mktemp("packed") / "m.rush"
    pack(program, ISAS, threads=2).save(path)
    return path


@pytest.mark.parametrize("isa", _core.available_isas())
def test_packed_weights_give_the_same_bits(
    program: rl.Program, packed_file: Path, image: Any, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUSHLIGHT_FORCE_ISA", isa)
    expected = rl.load(program)(image)
    monkeypatch.setattr(_core, "pack", None)  # nothing is left to pack
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = rl.load(packed_file, verify=True)
    np.testing.assert_array_equal(model(image), expected)
    assert len(model.main.plan.packed_weights) == 5
    assert {step.row.isa for step in model.main.plan.steps} <= {*ISAS[isa]}  # type: ignore[union-attr]


def test_a_packed_program_opens_as_it_was(program: rl.Program, packed_file: Path, tmp_path: Path) -> None:
    opened = rl.open(packed_file)
    assert str(opened) == str(program)
    assert opened.provenance == program.provenance
    again = tmp_path / "again.rush"
    opened.save(again)
    assert again.read_bytes() == packed_file.read_bytes()


def test_processes_share_the_weights(tmp_path: Path) -> None:
    """Pages of the mapping are clean, and common to both processes."""
    path = tmp_path / "shared.rush"
    b = rl.GraphBuilder()
    b.output("y", b.linear(b.input("x", np.float32, ("N", 2048)), weights(2048, 2048)))
    pack(b.build(), [best_isa()]).save(path)
    processes = [Process(path) for _ in range(2)]
    for process in processes:
        process.report()
    memory = [process.memory() for process in processes]
    for process in processes:
        process.end()
    for fields in memory:
        assert fields["Rss"] >= 2048 * 2048 * 4 >> 10
        assert fields["Private_Clean"] + fields["Private_Dirty"] < 512
        assert fields["Pss"] < 0.6 * fields["Rss"]


def test_other_instruction_sets_are_prepared_at_load(image: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.rush"
    program = network()
    pack(program, [isa for isa in ISAS if isa != best_isa()][:1]).save(path)
    with pytest.warns(RuntimeWarning, match=f"is packed for .*, not for {best_isa()}"):
        model = rl.load(path)
    np.testing.assert_array_equal(model(image), rl.load(program)(image))


def test_other_versions_are_prepared_at_load(image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.rush"
    program = network()
    with monkeypatch.context() as patch:
        patch.setattr(_core, "packing_layout", lambda: "0" * 64)
        pack(program, [best_isa()]).save(path)
    with pytest.warns(RuntimeWarning, match="packed by another version"):
        model = rl.load(path)
    np.testing.assert_array_equal(model(image), rl.load(program)(image))


def test_the_layout_is_named_by_a_hash() -> None:
    assert len(bytes.fromhex(_core.packing_layout())) == 32


def changed(path: Path, change: Callable[[dict[str, Any]], Any], out: Path) -> Path:
    """A copy of a packed file with its packing changed, and the hash made right."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    packing = json.loads(metadata["rushlight.packing"])
    change(packing)
    text = json.dumps(packing)
    metadata |= {"rushlight.packing": text, "rushlight.packing.hash": sha256(text.encode()).hexdigest()}
    new = json.dumps(header).encode()
    new += b" " * (-(8 + len(new)) % 64)
    out.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + length :])
    return out


def rows(packing: dict[str, Any]) -> list[Any]:
    found: list[Any] = packing["targets"][best_isa()]["forward"]["weights"]
    return found


def other_size(packing: dict[str, Any]) -> None:
    rows(packing)[0][2], rows(packing)[1][2] = rows(packing)[1][2], rows(packing)[0][2]


def other_kernel(packing: dict[str, Any]) -> None:
    rows(packing)[0][0] = rows(packing)[1][0] + "_"


def other_params(packing: dict[str, Any]) -> None:
    params = bytearray.fromhex(rows(packing)[0][1])
    params[0] ^= 1
    rows(packing)[0][1] = params.hex()


def not_bytes(packing: dict[str, Any]) -> None:
    constants = packing["targets"][best_isa()]["forward"]["graph"]["constants"]
    rows(packing)[0][2] = constants[0][1]


def other_input(packing: dict[str, Any]) -> None:
    packing["targets"][best_isa()]["forward"]["graph"]["inputs"][0][0] = "picture"


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a weight of another size": (other_size, "does not fit its operator"),
    "another kernel": (other_kernel, "does not fit its operator"),
    "other parameters": (other_params, "does not fit its operator"),
    "too few weights": (lambda packing: rows(packing).pop(), "4 packed weights, the program needs 5"),
    "an array of floats": (not_bytes, "not bytes at a multiple of 64"),
    "no hexadecimal": (lambda packing: rows(packing)[0].__setitem__(1, "xy"), "not hexadecimal"),
    "four fields": (lambda packing: rows(packing)[0].append(1), "4 items"),
    "a missing tensor": (lambda packing: rows(packing)[0].__setitem__(2, "?"), "tensor '?' is missing"),
    "an unknown key": (lambda packing: packing.update(more=1), "key 'more' is unknown"),
    "a graph that is unsound": (
        lambda packing: packing["targets"][best_isa()]["forward"]["graph"]["nodes"].pop(0),
        "packed method 'forward'",
    ),
    "a method that the program lacks": (
        lambda packing: packing["targets"][best_isa()].update(decode=packing["targets"][best_isa()].pop("forward")),
        "packed method 'decode'",
    ),
    "another signature": (other_input, "packed method 'forward'"),
}


@pytest.fixture(scope="module")
def one_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "m.rush"
    pack(network(), [best_isa()]).save(path)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_fit_is_refused(name: str, one_target: Path, tmp_path: Path) -> None:
    change, message = HOSTILE[name]
    path = changed(one_target, change, tmp_path / "changed.rush")
    with pytest.raises(rl.FormatError) as caught:
        rl.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_must_be_aligned(one_target: Path, tmp_path: Path) -> None:
    """The header may have any length; kernels load whole vectors of packed weights."""
    data = one_target.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    path = tmp_path / "shifted.rush"
    path.write_bytes(struct.pack("<Q", length + 4) + data[8 : 8 + length] + b"    " + data[8 + length :])
    with pytest.raises(rl.FormatError, match="not bytes at a multiple of 64"):
        rl.load(path)


def test_a_damaged_packing_is_noticed(one_target: Path, tmp_path: Path) -> None:
    data = bytearray(one_target.read_bytes())
    data[-1] ^= 1
    path = tmp_path / "damaged.rush"
    path.write_bytes(data)
    with pytest.raises(rl.FormatError, match="does not match its hash"):
        rl.load(path, verify=True)
    text = one_target.read_bytes().replace(b'\\"targets\\":', b'\\"Targets\\":')
    path.write_bytes(text)
    with pytest.raises(rl.FormatError, match="packing does not match its hash"):
        rl.load(path)


@FUZZ
@given(seed=st.integers(0, 1 << 30))
def test_changed_packings_are_refused_or_run(seed: int, one_target: Path, image: Any, tmp_path: Path) -> None:
    """Whatever the packing says, the outcome is a FormatError, or a model that runs, if perhaps to other numbers."""
    rng = np.random.default_rng(seed)

    def change(packing: dict[str, Any]) -> None:
        for _ in range(int(rng.integers(1, 4))):
            place: Any = packing
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                if not keys:
                    break
                key = keys[int(rng.integers(len(keys)))]
                if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.95:
                    place = place[key]
                    continue
                old = place[key]
                choices = [None, 0, -1, 2, 3, "x", 1 << 40, [], {}, 0.5]
                new = choices[int(rng.integers(len(choices)))]
                place[key] = old + 1 if type(old) is int and rng.random() < 0.5 else new
                break

    path = changed(one_target, change, tmp_path / "fuzz.rush")
    message = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = rl.load(path)
        model.run({model.inputs[0].name: image})
    except (rl.FormatError, rl.ShapeError) as error:
        message = str(error)
    assert "\n" not in message


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], image: Any) -> None:
    source, packed = tmp_path / "m.rush", tmp_path / "packed.rush"
    network().save(source)
    assert main(["pack", str(source), "-o", str(packed), "--isa", "avx2", "--isa", best_isa()]) == 0
    assert "packed for avx2" in capsys.readouterr().out
    assert set(rl.open(packed).packing.targets) == {"avx2", best_isa()}  # type: ignore[union-attr]
    assert main(["inspect", str(packed), "--verify"]) == 0
    assert f"packed      for avx2, {best_isa()}" in capsys.readouterr().out
    np.testing.assert_array_equal(rl.load(packed)(image), rl.load(source)(image))


def test_unknown_instruction_sets_are_refused() -> None:
    with pytest.raises(rl.DeviceError, match="no instruction set 'mmx'"):
        pack(network(), ["mmx"])
