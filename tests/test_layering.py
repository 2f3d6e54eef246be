"""Imports point down the ladder of ARCHITECTURE.md, and nothing is imported by the name of its folder."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("runtime", "quant", "exporter", "server", "src/rushlight/cli", "src/rushlight/demo")

LADDER: dict[str, set[str]] = {
    "runtime.errors": set(),
    "runtime.settings": set(),
    "runtime.types": {"runtime.errors"},
}
"""What each module or package may import of Rushlight, itself apart. Filled from rung to rung below."""

for _rung in (
    ["runtime.files"],
    ["runtime.npz"],
    ["runtime.ops"],
    ["runtime.mapping"],
    ["runtime.ir"],
    ["runtime.program", "runtime.format", "runtime.reference", "runtime.passes"],
    ["runtime.plan"],
    ["runtime.execution", "runtime.lower"],
    ["runtime.cpu"],
    ["runtime.cuda"],
    ["runtime.method", "runtime.packing"],
    ["runtime.model"],
    ["runtime.explain"],
    ["quant", "exporter", "server"],
    ["_version", "platform"],
    ["cli"],
    ["demo"],
):
    _below = set(LADDER)
    LADDER.update(dict.fromkeys(_rung, _below))

DEFERRED = {
    ("runtime.ops", "runtime.ir"): "the builder's type, for type checkers, and sub-graphs' interpreter",
    ("runtime.ops", "runtime.reference"): "control flow runs its sub-graphs",
    ("runtime.ir", "runtime.program"): "GraphBuilder.build makes a program",
    ("runtime.program", "runtime.format"): "Program.save",
    ("runtime.format", "runtime.program"): "reading makes a program",
    ("exporter", "cli"): "progress bars of the export command",
    ("server", "_version"): "the server's name and version in its metadata",
    ("exporter", "_version"): "provenance",
}
"""Imports against the ladder, inside of functions or for type checkers only, and why."""


def unit(module: str) -> str:
    """The rung that a module below `rushlight` stands on."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "runtime" else parts[0]


def imports(path: Path, module: str) -> list[str]:
    """Modules that a file imports, absolute."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            name = node.module or ""
            if node.level:
                package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                name = ".".join(["rushlight", *package[: len(package) - node.level + 1], *([name] if name else [])])
            is_package = name in ("rushlight", "rushlight.runtime")
            found += [f"{name}.{alias.name}" for alias in node.names] if is_package else [name]
    return found


def sources() -> list[tuple[Path, str]]:
    out = []
    for folder in FOLDERS:
        base = ROOT / folder
        prefix = folder.removeprefix("src/rushlight/")
        for path in sorted(base.rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            name = ".".join((prefix, *(part for part in parts if part != "__init__")))
            out.append((path, name))
    return out


@pytest.mark.parametrize(("path", "module"), sources(), ids=lambda item: str(item) if isinstance(item, str) else "")
def test_imports_point_down(path: Path, module: str) -> None:
    here = unit(module)
    for name in imports(path, module):
        first = name.split(".")[0]
        assert first not in ("runtime", "quant", "exporter", "server"), f"{path}: import rushlight.{name}"
        if first != "rushlight" or "." not in name:
            continue
        there = unit(name.removeprefix("rushlight."))
        if there in LADDER and there != here and there not in LADDER.get(here, set()):
            assert (here, there) in DEFERRED, f"{path}: {here} imports {there}, which stands above it"
