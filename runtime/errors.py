"""What Rushlight raises. Every error that a user's input can cause is a `RushlightError` with a one-line message."""


class RushlightError(Exception):
    """Base of all errors that Rushlight raises on purpose."""


class FormatError(RushlightError):
    """A `.rush` file or a source model file is damaged, hostile or of a version that cannot be read."""


class ShapeError(RushlightError):
    """An array or a graph value has the wrong name, dtype or shape, or holds an index of what is not there."""


class UnsupportedError(RushlightError):
    """The source model, the operator or the option is not supported; the message names every such thing at once."""


class DeviceError(RushlightError):
    """The device, the instruction set or the platform is not there."""


class QuantizationError(RushlightError):
    """Calibration data or a model cannot be quantized."""


def describe(error: BaseException) -> str:
    """Kind and first line of an error that somebody else's code raised."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
