"""The `.rush` file: a safetensors container whose metadata carries the program."""

from .reader import read_program
from .writer import write_program

__all__ = ["read_program", "write_program"]
