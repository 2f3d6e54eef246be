"""Where Rushlight runs."""

from __future__ import annotations

import os
import sys

from .runtime.errors import DeviceError


def check_platform() -> None:
    """Raises DeviceError anywhere but on Linux x86-64."""
    machine = os.uname().machine if hasattr(os, "uname") else "unknown"
    if sys.platform != "linux" or machine != "x86_64":
        raise DeviceError(f"Rushlight runs on Linux x86-64; this is {sys.platform} on {machine}")
