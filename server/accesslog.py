"""One JSON line a request, written by a thread of its own; failures of the server are logged even when it is off."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any, BinaryIO

import orjson

_CAPACITY = 65536


class AccessLog:
    """`record` costs the caller one put in a queue. Where the writer cannot keep up, lines are dropped and counted."""

    def __init__(self, everything: bool, stream: BinaryIO | None = None) -> None:
        self._everything = everything
        self._stream = stream or sys.stdout.buffer
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="rushlight-access-log", daemon=True)
        self._thread.start()

    def record(
        self,
        method: str,
        path: str,
        status: int,
        seconds: float,
        request_id: str,
        client: str | None = None,
        **details: Any,
    ) -> None:
        """Log one answered request; `details` are further fields, None is left out."""
        if not self._everything and status < 500:
            return
        if self._queue.qsize() >= _CAPACITY:
            self._dropped += 1
            return
        line = {
            "time": time.time(),
            "request_id": request_id,
            "client": client,
            "method": method,
            "path": path,
            "status": status,
            "ms": round(seconds * 1000, 3),
            **{key: value for key, value in details.items() if value is not None},
        }
        self._queue.put(line)

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            if self._dropped:
                line["dropped_before"], self._dropped = self._dropped, 0
            try:
                self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # nobody reads the log any more: serving goes on
                self._dropped += 1
