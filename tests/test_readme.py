"""What the README tells a newcomer to type."""

import re
import sys
from pathlib import Path

import pytest

from rushlight.cli import main

torch = pytest.importorskip("torch")

README = Path(__file__).parents[1] / "README.md"


def block(first_words: str) -> str:
    """The block of code, fenced or indented, that begins with `first_words`."""
    text = README.read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL) + re.findall(r"(?:^ {4}.+\n)+", text, re.MULTILINE)
    (found,) = [each for each in blocks if each.lstrip().startswith(first_words)]
    return str(found)


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 32, 7, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(32, 10))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "mymodels", type(sys)("mymodels"))
    sys.modules["mymodels"].net = Net()
    exec(compile(block("import numpy"), str(README), "exec"), {})
    assert re.fullmatch(r"\[( *\d){4}\]", capsys.readouterr().out.splitlines()[-1])

    commands = [line.split("#")[0].split() for line in block("rushlight export").splitlines()]
    assert {words[1] for words in commands} >= {"compare", "bench", "explain", "serve"}
    for words in commands:
        if words[1] in ("compare", "bench", "explain"):
            cheap = ["--blocks", "1", "--block-ms", "1"] if words[1] == "bench" else []
            assert main([*words[1:], *cheap]) == 0
