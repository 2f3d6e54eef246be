"""Version, keys and limits of the `.rush` format. A file beyond a limit is refused before memory is spent on it."""

FORMAT_VERSION = 1

KEY_FORMAT = "rushlight.format"
KEY_PROGRAM = "rushlight.program"
KEY_HASH = "rushlight.hash"
KEY_PROVENANCE = "rushlight.provenance"
KEY_PACKING = "rushlight.packing"
KEY_PACKING_HASH = "rushlight.packing.hash"
PAD_PREFIX = "rushlight.pad."
PACKED_PREFIX = "rushlight.packed."
"""Tensors that only the packing reads."""

ALIGNMENT = 64
"""Bytes; every tensor of the program starts at a multiple of it."""

MAX_HEADER_BYTES = 100_000_000  # what the safetensors library accepts
MAX_PROGRAM_BYTES = 64 << 20
MAX_PROVENANCE_BYTES = 16 << 20
MAX_HEADER_DEPTH = 8
MAX_PROGRAM_DEPTH = 128
MAX_JSON_ITEMS = 8 << 20
MAX_INTEGER_DIGITS = 20

MAX_TENSORS = 1 << 17
MAX_METHODS = 256
MAX_TARGETS = 16
MAX_PACKED_WEIGHTS = 1 << 17
"""Of one method for one instruction set."""
MAX_PARAMS = 1 << 12
"""Bytes of a kernel's parameters."""
MAX_PORTS = 4096
"""Inputs, outputs or states of one graph, and outputs of one node."""
MAX_NODES = 1 << 20
"""Nodes of all graphs together."""
MAX_NODE_INPUTS = 1 << 16
MAX_SYMBOLS = 1024
MAX_RANK = 16
MAX_DIM = 1 << 48
MAX_BYTES = 1 << 50
"""Of one tensor or statically shaped value."""
MAX_DIM_TERMS = 16
MAX_SHAPE_TERMS = 4096
"""Product of the numbers of terms of a shape's dimensions: what multiplying them out may cost."""
MAX_NAME = 1024
MAX_ATTR_ITEMS = 4096
MAX_ATTR_INT = 1 << 48
MAX_ATTR_INTS = 1 << 31
"""Largest magnitude of an item of an attribute of kind `ints`: strides, pads, axes."""
MAX_ATTR_TEXT = 4096

SAFETENSORS_DTYPES = {
    "F32": "float32",
    "F64": "float64",
    "F16": "float16",
    "BF16": "bfloat16",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "BOOL": "bool",
}
"""The container's names of the element types that a program can have, or hold its float32 constants in."""
