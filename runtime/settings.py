"""Settings that environment variables override, read in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rushlight"


@dataclass(frozen=True)
class Settings:
    """`force_isa`: the instruction set to use instead of the best one (`RUSHLIGHT_FORCE_ISA`).

    `cache`: the folder of compiled GPU kernels (`RUSHLIGHT_CACHE_DIR`).
    """

    force_isa: str | None = None
    cache: Path = field(default_factory=_default_cache)

    @staticmethod
    def from_environment() -> Settings:
        cache = os.environ.get("RUSHLIGHT_CACHE_DIR")
        return Settings(
            force_isa=os.environ.get("RUSHLIGHT_FORCE_ISA") or None,
            cache=Path(cache) if cache else _default_cache(),
        )
