"""Finds the command, runs it, and turns what goes wrong into one line and exit code 2."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from rushlight._version import __version__
from rushlight.platform import check_platform
from rushlight.runtime.errors import RushlightError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Command:
    """A command: `module` has `add_arguments(parser)` and `run(args) -> exit code`; `extra` is what it needs."""

    module: str
    summary: str
    extra: str


COMMANDS = {
    "export": Command("rushlight.exporter.command", "turn a model into a .rush file", "export"),
    "quantize": Command("rushlight.cli.quantize", "make an int8 program of a float one", "cli"),
    "pack": Command("rushlight.cli.pack", "add weights in the kernels' layout to a program", "cli"),
    "run": Command("rushlight.cli.run", "run a program on arrays", "cli"),
    "inspect": Command("rushlight.cli.inspection", "show what a .rush file holds", "cli"),
    "explain": Command("rushlight.cli.explain", "show the kernel of every node and its share of the peak", "cli"),
    "bench": Command("rushlight.cli.bench", "measure how fast programs are", "cli"),
    "compare": Command("rushlight.cli.compare", "measure how far two programs' answers differ", "cli"),
    "serve": Command("rushlight.server.command", "answer requests over HTTP", "server"),
    "demo": Command("rushlight.demo.command", "build, quantize and serve an image classifier", "demo"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else ""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: names need not fit the terminal's encoding
    try:
        check_platform()
        if name == "--version":
            print(f"rushlight {__version__}")
            return 0
        if find_spec("rich") is None:
            return _fail("the command needs an extra: pip install 'rushlight[cli]'")
        parser = _parser(name)
        args = parser.parse_args(arguments)
        if not args.command:
            parser.print_help()
            return 0
        code: int = import_module(COMMANDS[args.command].module).run(args)
        sys.stdout.flush()
        return code
    except RushlightError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("rushlight"):
            raise
        extra = "torch" if error.name == "torch" else COMMANDS[name].extra
        return _fail(f"'{name}' needs the module {error.name}: pip install 'rushlight[{extra}]'")
    except BrokenPipeError:
        # Whoever read the output has left; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except MemoryError as error:
        return _fail(f"there is not enough memory: {error}" if str(error) else "there is not enough memory")
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rushlight",
        description="Export, quantize, run and serve neural networks.",
        epilog="example:\n  rushlight run model.rush --random",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for key, command in COMMANDS.items():
        added = commands.add_parser(
            key, help=command.summary, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        if key == name:
            # Other commands' modules stay unloaded: their extras may not be installed.
            import_module(command.module).add_arguments(added)
    return parser


def _fail(message: str) -> int:
    line = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), message)
    print(f"rushlight: {line}", file=sys.stderr)
    return EXIT_ERROR
