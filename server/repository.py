"""A folder of models: `NAME.rush` is version 1 of NAME, `NAME/VERSION/*.rush` are versions; a single file will do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rushlight.runtime.errors import FormatError, RushlightError
from rushlight.server.contract import Model
from rushlight.server.settings import Settings
from rushlight.server.warmup import warm_up

SUFFIX = ".rush"

_VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class ModelFile:
    """Where one version of a model lies."""

    name: str
    version: str
    path: Path


def find_models(location: Path) -> list[ModelFile]:
    """All versions of all models under a folder, or the one model of a file, in order of name and version.

    Folders whose name is not a version number are left alone. `FormatError` where nothing is found, a version folder
    does not hold exactly one file, or the same version is there twice.
    """
    if location.is_file():
        return [ModelFile(location.name.removesuffix(SUFFIX), "1", location)]
    if not location.is_dir():
        raise FormatError(f"there is no folder or file of models at {location}")
    found: dict[tuple[str, int], ModelFile] = {}
    for file in _walk(location):
        other = found.setdefault((file.name, int(file.version)), file)
        if other is not file:
            raise FormatError(f"version {file.version} of '{file.name}' is there twice: {other.path} and {file.path}")
    if not found:
        raise FormatError(f"{location} holds no models: NAME{SUFFIX} or NAME/VERSION/*{SUFFIX}")
    return [found[key] for key in sorted(found)]


def _walk(folder: Path) -> Iterator[ModelFile]:
    for entry in sorted(folder.iterdir()):
        if entry.suffix == SUFFIX and entry.is_file():
            yield ModelFile(entry.stem, "1", entry)
        elif entry.is_dir():
            for version in sorted(entry.iterdir()):
                if _VERSION.fullmatch(version.name) and version.is_dir():
                    files = sorted(version.glob(f"*{SUFFIX}"))
                    if len(files) != 1:
                        raise FormatError(f"{version} must hold exactly one {SUFFIX} file, it holds {len(files)}")
                    yield ModelFile(entry.name, version.name, files[0])


@dataclass(frozen=True)
class Repository:
    """Loaded models by name and version."""

    models: Mapping[str, Mapping[str, Model]] = field(default_factory=dict)

    @staticmethod
    def load(location: Path, settings: Settings) -> Repository:
        """Load everything under a folder, with the tensors' hashes verified. Raises a `RushlightError` on the first
        model that does not load: a server that lacks a model must not look healthy.
        """
        import rushlight as rl

        models: dict[str, dict[str, Model]] = {}
        files = find_models(location)
        unknown = sorted(set(settings.models) - {file.name for file in files})
        if unknown:
            raise FormatError(f"the settings name models that {location} does not hold: {', '.join(unknown)}")
        for file in files:
            try:
                own = settings.of_model(file.name)
                model = rl.load(file.path, threads=own.threads, device=own.device, precision=own.precision, verify=True)
                warm_up(file.name, model)
            except RushlightError as error:
                text = str(error).removeprefix(f"{file.path}: ")
                raise type(error)(f"{file.path}: {text}") from None
            models.setdefault(file.name, {})[file.version] = model
        return Repository(models)
