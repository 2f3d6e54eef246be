"""On PYTHONPATH: the core of this process and its children is the one that has AMX modelled in C."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class _ModelledCore(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "rushlight.runtime.cpu._core":
            return None
        return spec_from_file_location(fullname, os.environ["RUSHLIGHT_TEST_CORE"])


sys.meta_path.insert(0, _ModelledCore())
