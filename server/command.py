"""`rushlight serve`: its arguments, and what it does with them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rushlight.server.repository import Repository
from rushlight.server.serving import address_of, bind, serve
from rushlight.server.settings import load_settings

EXAMPLE = """example:
  rushlight serve models --port 8000 --max-batch 16
  curl -s localhost:8000/v2/health/ready

MODELS_DIR holds NAME.rush (version 1 of NAME) or NAME/VERSION/*.rush; a single .rush file will do.
The TOML file has the same keys, and [models.NAME] tables for what differs for one model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rushlight serve`. Settings left out come from the file, then from the defaults."""
    parser.description = "Serve models over HTTP by the Open Inference Protocol v2."
    parser.epilog = EXAMPLE
    parser.add_argument("models", metavar="MODELS_DIR", type=Path, help="folder of models, or one .rush file")
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings in TOML")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8000; 0 takes a free one)")
    parser.add_argument("--max-batch", type=int, metavar="ROWS", help="rows in one batch (default 32)")
    parser.add_argument(
        "--max-delay-ms", type=float, metavar="MS", help="how long a batch waits for more rows (default 0)"
    )
    parser.add_argument("--queue", type=int, metavar="N", help="requests that may wait for a model (default 1024)")
    parser.add_argument("--max-body-mb", type=float, metavar="MB", help="largest request body (default 64)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads that one model may use (default all)")
    parser.add_argument("--device", help="where models run: cpu (default), cuda or cuda:<index>")
    parser.add_argument("--precision", help="of products of float32: float32 (default), or tf32, which is one of GPUs")
    parser.add_argument(
        "--access-log", action="store_true", default=None, help="write one JSON line a request to stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit status. Raises a `RushlightError` where something is wrong."""
    flags = {key: value for key, value in vars(args).items() if key in _SETTINGS}
    settings = load_settings(args.config, flags)
    bound = bind(settings.host, settings.port)
    try:
        repository = Repository.load(args.models, settings)
    except BaseException:
        bound.close()
        raise
    address = address_of(bound)
    names = ", ".join(repository.models)

    def announce() -> None:
        print(f"rushlight: serving {names} on {address}", file=sys.stderr, flush=True)

    return serve(repository, settings, bound, on_started=announce)


_SETTINGS = (
    "host", "port", "max_batch", "max_delay_ms", "queue", "max_body_mb", "threads", "device", "precision", "access_log",
)  # fmt: skip
