"""Compiled kernels on disk, named by what they were made from."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import DeviceError
from ..settings import Settings


def cached(key: Sequence[str], suffix: str, make: Callable[[], bytes]) -> Path:
    """The file made by `make` from what `key` says in full; made once, and never seen half written.

    Raises DeviceError where the cache cannot be written.
    """
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
    folder = Settings.from_environment().cache / "kernels"
    path = folder / f"{digest}{suffix}"
    if path.exists():
        return path
    content = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError as error:
        raise DeviceError(f"cannot cache compiled kernels ({error}); set RUSHLIGHT_CACHE_DIR") from error
    return path
