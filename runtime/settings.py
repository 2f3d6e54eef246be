"""Settings that environment variables override, read in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """`force_isa`: the instruction set to use instead of the best one (`RUSHLIGHT_FORCE_ISA`)."""

    force_isa: str | None = None

    @staticmethod
    def from_environment() -> Settings:
        return Settings(force_isa=os.environ.get("RUSHLIGHT_FORCE_ISA") or None)
