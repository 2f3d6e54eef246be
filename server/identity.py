"""Request ids: taken from the client's `X-Request-Id` or made here."""

from __future__ import annotations

import os
import re
from itertools import count

_ACCEPTED = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_PREFIX = os.urandom(6).hex()
_numbers = count(1)


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The client's id where it has one of at most 128 harmless characters, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _ACCEPTED.fullmatch(value):
            return value.decode("ascii")
    return f"{_PREFIX}-{next(_numbers):x}"
