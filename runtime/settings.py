"""Settings that environment variables override, read in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`force_isa`: the instruction set to use instead of the best one (`RUSHLIGHT_FORCE_ISA`).

    `cache`: the folder of compiled GPU kernels (`RUSHLIGHT_CACHE_DIR`), None for the user's cache folder.
    """

    force_isa: str | None = None
    cache: Path | None = None

    @staticmethod
    def from_environment() -> Settings:
        cache = os.environ.get("RUSHLIGHT_CACHE_DIR")
        return Settings(
            force_isa=os.environ.get("RUSHLIGHT_FORCE_ISA") or None,
            cache=Path(cache) if cache else None,
        )
