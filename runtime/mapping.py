"""Files as memory: mapped to be read, and given back to the system page by page."""

from __future__ import annotations

import mmap
import os
import stat
from contextlib import suppress

import numpy as np

from .errors import FormatError
from .ops import Array


def map_file(path: str | os.PathLike[str]) -> memoryview:
    """A file's bytes, read-only, shared with all processes that map it. Raises FormatError where it is empty or no
    file, OSError where it cannot be opened."""
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("this is not a file")
        if status.st_size == 0:
            raise FormatError("the file is empty")
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(descriptor)


def release(array: Array) -> None:
    """Takes the pages of an array in a read-only mapped file out of the process's memory; reading it brings them back.

    Other arrays, and those that are not contiguous, are left as they are.
    """
    _advise(array, mmap.MADV_DONTNEED)


def prefer_huge_pages(array: Array) -> None:
    """Asks the system to read an array in a read-only mapped file in huge pages where it has them, for all processes
    that map the file. Other arrays, and those that are not contiguous, are left as they are."""
    with suppress(OSError):  # a system without any
        _advise(array, mmap.MADV_HUGEPAGE)


def _advise(array: Array, advice: int) -> None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    dense = array.flags.c_contiguous or array.flags.f_contiguous
    if not isinstance(base, mmap.mmap) or not dense or not array.nbytes:
        return
    file = np.frombuffer(base, np.uint8)
    if file.flags.writeable:  # a private copy of the pages would be lost
        return
    begin = array.ctypes.data - file.ctypes.data
    first = begin // mmap.PAGESIZE * mmap.PAGESIZE
    base.madvise(advice, first, begin + array.nbytes - first)
