"""`rushlight demo`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import rushlight as rl
from rushlight.demo.build import build_models
from rushlight.demo.page import demo_page
from rushlight.server.repository import Repository
from rushlight.server.serving import address_of, bind, serve
from rushlight.server.settings import load_settings
from rushlight.server.warmup import warm_up

EXAMPLE = """example:
  rushlight demo --dir ./rushlight-demo --port 8000"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Build EfficientNet-Lite0, quantize it to int8, and serve both with a page that shows them."
    parser.epilog = EXAMPLE
    parser.add_argument(
        "--dir", type=Path, default=Path("rushlight-demo"), help="folder of the models (./rushlight-demo)"
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8000; 0 takes a free one)")


def run(args: argparse.Namespace) -> int:
    settings = load_settings(flags={"host": args.host, "port": args.port})
    bound = bind(settings.host, settings.port)
    try:
        paths = build_models(args.dir, report=_say)
        models = {name: rl.load(path, verify=True) for name, path in paths.items()}
        for name, model in models.items():
            warm_up(name, model)
        repository = Repository({name: {"1": model} for name, model in models.items()})
    except BaseException:
        bound.close()
        raise
    names = ", ".join(paths)
    address = address_of(bound)
    return serve(
        repository, settings, bound, page=demo_page, on_started=lambda: _say(f"serving {names}; open {address}")
    )


def _say(text: str) -> None:
    print(f"rushlight: {text}", file=sys.stderr, flush=True)
