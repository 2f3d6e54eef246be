"""Workers as the comparison sees them: it asks one at a time, and stops the others meanwhile."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class EngineError(Exception):
    """An engine could not do what it was asked for."""


class Process:
    """An engine's process, stopped (SIGSTOP) while nothing is asked of it: threads that spin would take the others'
    time. Standard error goes to `log`."""

    def __init__(self, engine: str, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as errors:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.peers.worker", engine],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self._unread = b""

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, do: str, limit: float, **fields: Any) -> dict[str, Any]:
        """The answer to a command, which has `limit` seconds. Raises EngineError; the process is gone then, unless the
        worker itself named the error."""
        assert self._popen.stdin is not None
        if self._popen.returncode is not None:
            raise EngineError("the process has ended")
        try:
            self._signal(signal.SIGCONT)
            self._popen.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
            self._popen.stdin.flush()
            answer = json.loads(self._line(limit, do))
            self._signal(signal.SIGSTOP)
        except OSError:
            raise EngineError(self._end(do)) from None
        if "error" in answer:
            raise EngineError(answer["error"])
        return dict(answer)

    @property
    def is_alive(self) -> bool:
        """False once the process has ended, whether or not it is reaped."""
        if self._popen.returncode is not None:
            return False
        return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def close(self) -> None:
        """Ends the process and all that it started."""
        if self._popen.returncode is None:  # not yet reaped: the number is still this process's
            self._signal(signal.SIGKILL)
            self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                continue  # what was still buffered has nobody left to read it

    def _signal(self, number: signal.Signals) -> None:
        """To the whole session: compilers may run on beside the worker."""
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return

    def _line(self, limit: float, do: str) -> bytes:
        assert self._popen.stdout is not None
        end, pipe = time.monotonic() + limit, self._popen.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self.close()
                raise EngineError(f"{do} took more than {limit:g} s")
            data = os.read(pipe, 1 << 20)
            if not data:
                raise EngineError(self._end(do))
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _end(self, do: str) -> str:
        """How the process ended, with its last words."""
        os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)
        code = self._popen.wait()
        words = self._log.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(words) if line.strip()), "")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"ended during {do} with {how}: {last[:200]}"
