"""Running sums of one model in the protocol's statistics form, as load generators read them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Duration:
    """How often, and how many seconds in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds

    def document(self) -> dict[str, int]:
        return {"count": self.count, "ns": round(self.seconds * 1e9)}


@dataclass
class Statistics:
    """Since the server started. Rows count as inferences, batches as executions."""

    inferences: int = 0
    executions: int = 0
    last_inference_ms: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute: Duration = field(default_factory=Duration)
    batches: dict[int, Duration] = field(default_factory=dict)

    def batch(self, rows: int, seconds: float) -> None:
        """Count a batch that ran."""
        self.executions += 1
        self.batches.setdefault(rows, Duration()).add(seconds)

    def answered(self, rows: int, seconds: float, queued: float, computed: float) -> None:
        """Count a request that got its result."""
        self.inferences += rows
        self.last_inference_ms = time.time_ns() // 1_000_000
        self.success.add(seconds)
        self.queue.add(queued)
        self.compute.add(computed)

    def document(self, model: str, version: str) -> dict[str, Any]:
        """One entry of `model_stats`."""
        none = Duration().document()
        return {
            "name": model,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": self.inferences,
            "execution_count": self.executions,
            "inference_stats": {
                "success": self.success.document(),
                "fail": self.fail.document(),
                "queue": self.queue.document(),
                "compute_input": none,
                "compute_infer": self.compute.document(),
                "compute_output": none,
                "cache_hit": none,
                "cache_miss": none,
            },
            "response_stats": {},
            "batch_stats": [
                {
                    "batch_size": rows,
                    "compute_input": none,
                    "compute_infer": duration.document(),
                    "compute_output": none,
                }
                for rows, duration in sorted(self.batches.items())
            ],
            "memory_usage": [],
        }
