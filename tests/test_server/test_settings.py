"""Settings from files and flags; models from folders; the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from rushlight.cli.main import main
from rushlight.runtime.errors import FormatError, RushlightError
from rushlight.runtime.ir import GraphBuilder
from rushlight.server.repository import Repository, find_models
from rushlight.server.settings import ModelSettings, Settings, SettingsError, load_settings


def test_defaults_are_the_contract() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.host, settings.port, settings.max_body_bytes) == ("127.0.0.1", 8000, 64 << 20)
    assert settings.model == ModelSettings(max_batch=32, max_delay_ms=0, queue=1024)


def test_file_then_flags_then_models(tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text(
        """
        port = 9000
        max-batch = 8
        queue = 100
        max_body_mb = 0.5
        access-log = true
        [models.small]
        max-batch = 2
        max-delay-ms = 1.5
        """
    )
    settings = load_settings(config, {"port": 9001, "queue": 50, "host": None, "max_body_mb": None})
    assert (settings.port, settings.host, settings.max_body_bytes) == (9001, "127.0.0.1", 1 << 19)
    assert settings.access_log
    assert settings.of_model("any") == ModelSettings(max_batch=8, queue=50)
    assert settings.of_model("small") == ModelSettings(max_batch=2, max_delay_ms=1.5, queue=50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = ", "not valid TOML"),
        ("\xff", "not valid TOML"),
        ("nothing = 1", "no setting 'nothing'"),
        ("model = 1", "no setting 'model'"),
        ("port = '1'", "wrong type"),
        ("port = true", "wrong type"),
        ("port = 70000", "from 0 to 65535"),
        ("host = 1", "wrong type"),
        ("precision = 32", "wrong type"),
        ("access-log = 1", "wrong type"),
        ("max-batch = 0", "from 1"),
        ("max-batch = 1.5", "wrong type"),
        ("max-delay-ms = -1", "from 0"),
        ("max-delay-ms = nan", "from 0"),
        ("max-body-mb = inf", "from 0.001"),
        ("models = 1", "one table a model"),
        ("[models]\na = 1", "one table a model"),
        ("[models.a]\nport = 1", "no setting 'port'"),
        ("[models.a]\nqueue = 0", "from 1"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "server.toml"
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(config)
    assert "\n" not in str(caught.value)


def test_missing_config(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path / "absent.toml")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> list[tuple[str, str, str]]:
    return [(file.name, file.version, str(file.path.relative_to(root))) for file in find_models(root)]


def test_layout_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "b.rush", "a/10/model.rush", "a/2/x.rush", "a/02/x.rush", "a/tmp/x.rush", "c.txt", "d/x.rush")
    assert found(tmp_path) == [
        ("a", "2", "a/2/x.rush"),
        ("a", "10", "a/10/model.rush"),
        ("b", "1", "b.rush"),
    ]
    assert [(file.name, file.version) for file in find_models(tmp_path / "b.rush")] == [("b", "1")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no models"),
        (["c.txt"], "holds no models"),
        (["a/1/x.rush", "a/1/y.rush"], "exactly one"),
        (["a/1/x.txt"], "exactly one"),
        (["a.rush", "a/1/x.rush"], "twice"),
    ],
)
def test_unclear_folders(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(FormatError, match=message):
        find_models(tmp_path)
    with pytest.raises(FormatError, match="no folder or file"):
        find_models(tmp_path / "absent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two versions of a model that doubles, the second also adds one."""
    folder = tmp_path / "models"
    for version in (1, 2):
        builder = GraphBuilder()
        x = builder.input("x", np.float32, ("N", 4))
        two = builder.constant(np.full((1,), 2, np.float32), "two")
        y = builder.mul(x, two)
        if version == 2:
            y = builder.add(y, builder.constant(np.ones((1,), np.float32), "one"))
        builder.output("y", y)
        path = folder / "double" / str(version) / "model.rush"
        path.parent.mkdir(parents=True)
        program: Any = builder.build()
        program.save(path)
    return folder


def test_repository_verifies_what_it_loads(folder: Path) -> None:
    repository = Repository.load(folder, Settings())
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(repository.models["double"]["2"].run({"x": x})["y"], x * 3)
    path = folder / "double/2/model.rush"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RushlightError, match=r"model\.rush"):
        Repository.load(folder, Settings())


def test_settings_of_models_that_are_not_there(folder: Path) -> None:
    with pytest.raises(RushlightError, match="typo"):
        Repository.load(folder, load_settings() and Settings(models={"typo": ModelSettings()}))


@pytest.mark.parametrize(
    "arguments",
    [
        ["absent"],
        ["absent", "--port", "70000"],
        ["absent", "--config", "absent.toml"],
        ["absent", "--max-batch", "0"],
        ["absent", "--host", "203.0.113.7"],
    ],
)
def test_wrong_arguments_are_one_line_and_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = [] if "--port" in arguments else ["--port", "0"]
    assert main(["serve", *arguments, *defaults]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("rushlight: ")
    assert errors.count("\n") == 1


def test_serve_from_the_command_line(folder: Path) -> None:
    serve = [sys.executable, "-m", "rushlight", "serve", str(folder)]
    command = [*serve, "--port", "0", "--max-batch", "4", "--access-log"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("rushlight: serving double on http://127.0.0.1:")
            url = line.split()[-1]
            entry = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
            for path, data in (("/versions/1", [2, 4, 6, 8]), ("", [3, 5, 7, 9])):
                target = f"{url}/v2/models/double{path}/infer"
                response = httpx.post(target, json={"inputs": [entry]}, trust_env=False, timeout=30)
                assert response.json()["outputs"][0]["data"] == data
            taken = subprocess.run(
                [*serve, "--port", url.rsplit(":", 1)[1]],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert taken.returncode == 2
            assert "is in use" in taken.stderr
            assert taken.stderr.count("\n") == 1
            os.kill(process.pid, signal.SIGINT)
            log, errors = process.communicate(timeout=30)
            assert process.returncode == 0
            assert errors == ""
            assert log.count('"status":200') == 2
        finally:
            process.kill()
