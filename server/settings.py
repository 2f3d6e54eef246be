"""All settings of the server in one object: defaults, then a TOML file, then command-line flags."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rushlight.runtime.errors import RushlightError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class SettingsError(RushlightError):
    """A setting is unknown, of a wrong type or out of its range."""


@dataclass(frozen=True)
class ModelSettings:
    """Settings that each model can have of its own.

    `device`, `precision`: where and how it runs, as `rushlight.load` takes them. `threads`: how many of the process's
    threads one run may use, None for all. `instances`: batches of this model that may run at a time; on a GPU they take
    turns. `queue`: places; a request takes one, or one for each `max_batch` rows.
    """

    max_batch: int = 32
    max_delay_ms: float = 0.0
    queue: int = 1024
    priority_levels: int = 0
    threads: int | None = None
    instances: int = 1
    device: str = "cpu"
    precision: str = "float32"


@dataclass(frozen=True)
class Settings:
    """Settings of the server. `models` has what differs for a model of that name.

    `max_inflight_mb` bounds the request bodies in memory over all connections, `max_running` the batches that run at a
    time over all models (None: one a processor). `drain_delay_s` is how long the server still takes new connections
    after it was told to end, for load balancers to see that it is no longer ready.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: ModelSettings = field(default_factory=ModelSettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    max_body_mb: float = 64.0
    max_header_kb: float = 64.0
    max_inflight_mb: float = 1024.0
    max_connections: int = 1000
    max_running: int | None = None
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    keep_alive_s: float = 75.0
    drain_delay_s: float = 0.0
    access_log: bool = False

    def of_model(self, name: str) -> ModelSettings:
        """The settings that hold for a model."""
        return self.models.get(name, self.model)

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_mb * (1 << 20))

    @property
    def max_inflight_bytes(self) -> int:
        return int(self.max_inflight_mb * (1 << 20))


_RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "max_batch": (1, 1 << 20),
    "max_delay_ms": (0, 60_000),
    "queue": (1, 1 << 20),
    "priority_levels": (0, 1000),
    "threads": (1, 4096),
    "instances": (1, 256),
    "max_body_mb": (0.001, 1 << 20),
    "max_header_kb": (1, 1 << 10),
    "max_inflight_mb": (0.001, 1 << 24),
    "max_connections": (1, 1 << 20),
    "max_running": (1, 4096),
    "header_timeout_s": (0.01, 3600),
    "body_timeout_s": (0.01, 86_400),
    "send_timeout_s": (0.01, 86_400),
    "keep_alive_s": (0, 86_400),
    "drain_delay_s": (0, 3600),
}
_MODEL_KEYS = {f.name for f in dataclasses.fields(ModelSettings)}
_SERVER_KEYS = {f.name for f in dataclasses.fields(Settings)} - {"model", "models"}


def load_settings(config: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a TOML file and flags. Keys are the flags' names, with `-` or `_`; None is "not given".

    A model's own settings in `[models.NAME]` win over flags, which win over the file. Raises `SettingsError`.
    """
    document = {_key(key): value for key, value in (_read(config) if config else {}).items()}
    tables = document.pop("models", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SettingsError("'models' must hold one table a model: [models.NAME]")
    document.update({key: value for key, value in (flags or {}).items() if value is not None})
    general = {key: _checked(key, value, _MODEL_KEYS | _SERVER_KEYS) for key, value in document.items()}
    model = ModelSettings(**{key: value for key, value in general.items() if key in _MODEL_KEYS})
    models = {
        name: dataclasses.replace(
            model, **{_key(key): _checked(_key(key), value, _MODEL_KEYS) for key, value in table.items()}
        )
        for name, table in tables.items()
    }
    server = {key: value for key, value in general.items() if key in _SERVER_KEYS}
    return Settings(model=model, models=models, **server)


def _key(name: str) -> str:
    return name.replace("-", "_")


def _read(config: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = tomllib.loads(config.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {config}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config} is not valid TOML: {error}") from None
    return document


def _checked(key: str, value: Any, known: set[str]) -> Any:
    if key not in known:
        raise SettingsError(f"there is no setting '{key}'; there are {', '.join(sorted(known))}")
    if key in ("host", "device", "precision"):
        right = isinstance(value, str)
    elif key == "access_log":
        right = isinstance(value, bool)
    else:
        fractional = key.endswith(("_ms", "_mb", "_kb", "_s"))
        right = type(value) is int or (fractional and type(value) is float)
    if not right:
        raise SettingsError(f"setting '{key}' has a value of a wrong type: {value!r}")
    if key in _RANGES:
        low, high = _RANGES[key]
        if not low <= value <= high:
            raise SettingsError(f"setting '{key}' must be from {low:g} to {high:g}, not {value:g}")
    return value
