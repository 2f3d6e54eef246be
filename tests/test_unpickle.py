"""Files of `torch.save` read without PyTorch, against `torch.load`."""

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rushlight.exporter.unpickle import read_state_dict
from rushlight.runtime.errors import FormatError

torch = pytest.importorskip("torch")
ZIP = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def save(value: Any, path: Path, is_zip: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=is_zip)
    return path


def tensors() -> dict[str, Any]:
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    out = {
        "transposed": base.permute(2, 0, 1),
        "sliced": base[1:, ::2, 3],
        "shared": base[2],
        "expanded": torch.ones(3, 1).expand(3, 7),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(3, 2)),
        "bfloat16": torch.tensor([1.0, -3.140625, float("inf"), 1e-40], dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
    }
    for name in ("float64", "float16", "int64", "int32", "int16", "int8", "uint8"):
        out[name] = torch.arange(7).to(getattr(torch, name))
    return out


@ZIP
def test_all_dtypes_and_views(tmp_path: Path, is_zip: bool) -> None:
    path = save(tensors(), tmp_path / "w.pt", is_zip)
    found = read_state_dict(path)
    expected = torch.load(path, weights_only=False)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array)


@ZIP
def test_state_dict_of_a_module(tmp_path: Path, is_zip: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LSTM(4, 5))
    found = read_state_dict(save(module.state_dict(), tmp_path / "w.pt", is_zip))
    assert list(found) == list(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


class Command:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@ZIP
def test_code_is_refused_by_name_and_never_run(tmp_path: Path, is_zip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save({"w": torch.ones(2), "x": Command()}, tmp_path / "w.pt", is_zip)
    with pytest.raises(FormatError, match=r"global posix\.system is not allowed"):
        read_state_dict(path)
    assert not Path("ran").exists()


@ZIP
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.nn.Linear(2, 2), r"global torch\.nn\.modules\.linear\.Linear is not allowed"),
        ({"epoch": 3}, "entry 'epoch' is not a tensor"),
        ({3: torch.ones(1)}, "entry 3 is not a tensor"),
        ([torch.ones(1)], "not a dictionary of tensors"),
        ({"c": torch.ones(2, dtype=torch.complex64)}, "global torch.ComplexFloatStorage is not allowed"),
    ],
    ids=["module", "number", "key", "list", "complex"],
)
def test_other_contents_are_refused(tmp_path: Path, value: Any, message: str, is_zip: bool) -> None:
    with pytest.raises(FormatError, match=message):
        read_state_dict(save(value, tmp_path / "w.pt", is_zip))


class Crafted:
    """A tensor whose sizes the test chooses."""

    def __init__(self, offset: Any, shape: Any, strides: Any) -> None:
        self.sizes = (offset, shape, strides)

    def __reduce__(self) -> Any:
        storage = torch.arange(4.0).storage()
        return torch._utils._rebuild_tensor_v2, (storage, *self.sizes, False, collections.OrderedDict())


@ZIP
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((1, (4,), (1,)), "reaches beyond its storage"),
        ((0, (2, 2), (1 << 40, 1)), "reaches beyond its storage"),
        ((0, (1 << 40,), (0,)), "expands a storage of 4"),
        ((0, (1 << 60,), (0,)), "is not a size"),
        ((-1, (1,), (1,)), "-1 is not a size"),
        ((0, (2,), (-1,)), "-1 is not a size"),
        ((0, (2, 2), (1,)), "2 sizes and 1 strides"),
        ((0, [2], [1]), "without storage, shape or strides"),
        ((True, (2,), (1,)), "True is not a size"),
    ],
)
def test_crafted_sizes(tmp_path: Path, sizes: Any, message: str, is_zip: bool) -> None:
    with pytest.raises(FormatError, match=message):
        read_state_dict(save({"w": Crafted(*sizes)}, tmp_path / "w.pt", is_zip))


def archive(path: Path, pickled: bytes, storages: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", pickled)
        for key, data in storages.items():
            file.writestr(f"a/data/{key}", data)
    return path


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"", "damaged pickle"),
        (b"\x80\x02}", "damaged pickle"),
        (b"\x80\x02.", "damaged pickle"),
        (b"\x80\x02(.", "unexpected mark"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "not a dictionary"),
        (b"\x80\x02h\x07.", "damaged pickle"),
        (b"\x80\x02X\xff\xff\xff\x7fab.", "damaged pickle"),
        (b"\x80\x02]q\x00h\x00a.", "not a dictionary"),
        (b"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s.", "entry 'w' is not a tensor"),
        (b"\x80\x02}]Ns.", "damaged pickle"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calling FloatStorage is not allowed"),
        (b"\x80\x02K\x01)R.", "calling int is not allowed"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "damaged pickle"),
        (b"\x80\x02X\x01\x00\x00\x00wQ.", "a persistent id that is no storage"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", r"global builtins\.eval is not allowed"),
        (b"I1\n.", "instruction INT is not allowed"),
        (b"\x80\x02(i__main__\nX\n.", "instruction INST is not allowed"),
    ],
)
def test_crafted_pickles(tmp_path: Path, pickled: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_state_dict(archive(tmp_path / "w.pt", pickled, {}))


def test_crafted_archives(tmp_path: Path) -> None:
    path = save({"w": torch.ones(4)}, tmp_path / "w.pt", True)
    with zipfile.ZipFile(path) as file:
        pickled = file.read("w/data.pkl")
    assert list(read_state_dict(archive(path, pickled, {"0": bytes(16)}))) == ["w"]
    for storages, compression, message in (
        ({}, zipfile.ZIP_STORED, "storage '0' of 16 bytes is missing"),
        ({"0": bytes(12)}, zipfile.ZIP_STORED, "of another size"),
        ({"0": bytes(16)}, zipfile.ZIP_DEFLATED, "compressed archive"),
    ):
        with pytest.raises(FormatError, match=message):
            read_state_dict(archive(path, pickled, storages, compression))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme", b"hello")
    with pytest.raises(FormatError, match=r"torch\.save did not write"):
        read_state_dict(path)


def test_a_bool_must_be_zero_or_one(tmp_path: Path) -> None:
    path = save({"w": torch.tensor([True, False])}, tmp_path / "w.pt", False)
    data = bytearray(path.read_bytes())
    data[-1] = 2
    path.write_bytes(data)
    with pytest.raises(FormatError, match="neither true nor false"):
        read_state_dict(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"hello", pickle.dumps({"a": 1}, 2)])
def test_other_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"w\.pt: (not a file that torch|damaged archive)"):
        read_state_dict(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    is_zip=st.booleans(),
    cut=st.integers(0, 4000),
    flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
)
def test_damaged_files(tmp_path: Path, is_zip: bool, cut: int, flips: list[tuple[int, int]]) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(3, 2), "b": torch.ones(2)}, buffer, _use_new_zipfile_serialization=is_zip)
    data = bytearray(buffer.getvalue())
    for at, byte in flips:
        data[at % len(data)] = byte
    path = tmp_path / "w.pt"
    path.write_bytes(data[: cut if cut % 2 else None])
    try:
        found = read_state_dict(path)
    except FormatError:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())
