"""Collects what a source model needs and Rushlight lacks, so that one error names all of it."""

from __future__ import annotations

from rushlight.runtime.errors import UnsupportedError


class Problems:
    """Unsupported things by kind, counted, with the name of the first node of each kind."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def add(self, kind: str, node: str) -> None:
        self._first.setdefault(kind, node)
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def add_reason(self, op: str, node: str, reason: str) -> None:
        """An operator that is supported, but not like this."""
        self.add(f"{op}: {reason}", node)

    def __bool__(self) -> bool:
        return bool(self._first)

    def raise_if_any(self) -> None:
        """Raises UnsupportedError with all that was added, if anything was."""
        if self._first:
            parts = [
                f"{kind} ({self._counts[kind]}x, first '{node}')" if self._counts[kind] > 1 else f"{kind} ('{node}')"
                for kind, node in self._first.items()
            ]
            raise UnsupportedError(f"not supported in this model: {'; '.join(parts)}")
