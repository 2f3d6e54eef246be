"""Compiled kernels on disk, named by what they were made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import DeviceError
from ..files import replacing
from ..settings import Settings


def cached(key: Sequence[str], suffix: str, make: Callable[[], bytes]) -> Path:
    """The file made by `make` from what `key` says in full; made once, and never seen half written.

    Raises DeviceError where the cache cannot be written.
    """
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
    folder = _folder()
    path = folder / f"{digest}{suffix}"
    if path.exists():
        return path
    content = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise DeviceError(f"cannot cache compiled kernels ({error}); set RUSHLIGHT_CACHE_DIR") from error
    return path


def _folder() -> Path:
    chosen = Settings.from_environment().cache
    if chosen is not None:
        return chosen / "kernels"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rushlight" / "kernels"
    except RuntimeError as error:
        raise DeviceError("there is no home folder for compiled kernels; set RUSHLIGHT_CACHE_DIR") from error
