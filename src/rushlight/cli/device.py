"""Where a model runs, and in which precision."""

from __future__ import annotations

import argparse

from rushlight.runtime.model import PRECISIONS


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:<index> or cuda-emulated")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=PRECISIONS[0], help="of products of float32; tf32 is one of GPUs"
    )
