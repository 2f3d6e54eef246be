"""Which layers stay float so that the quantized model comes close enough to the float one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from .data import Progress
from .sensitivity import Part, sensitivities
from .trial import Trial, attempt

ENOUGH = 20.0
"""Ratio of signal to noise, in dB, from which "auto" looks for nothing better: the noise has a hundredth of the power.

EfficientNet-Lite0 on photographs gives the float model's label 98 times in 100 at 19 dB, 96 at 13, 88 at 7."""

WORTH = 50.0
"""What leaving a layer float must gain in dB, times its share of the model's time, for "auto" to take it."""

LEAST_GAIN = 0.3
"""Smaller gains are not worth a mixed model."""

FLOOR = 8.0
"""Below this "auto" leaves layers float at any price up to `MOST`."""

MOST = 0.5
"""How much longer, by estimate, a model may take that "auto" mends."""


@dataclass
class Mix:
    """The best trial found, the parts that it leaves float, and the ratio that was aimed at, in dB."""

    trial: Trial
    parts: list[Part]
    target: float

    @property
    def met(self) -> bool:
        """Whether the ratio was reached."""
        return self.trial.sqnr is not None and self.trial.sqnr >= self.target


def mend(trial: Trial, target: float | None, progress: Progress | None = None) -> Mix:
    """`trial`, or a mix closer to the float model.

    Layers are left float, those first that pay most, until `target` dB are reached; where `target` is None, as long as
    that gains much for little time, and further below `FLOOR`. Nothing is measured where nothing need be mended.
    """
    aim = FLOOR if target is None else target
    if trial.sqnr is None or trial.sqnr >= (ENOUGH if target is None else target):
        return Mix(trial, [], aim)
    parts = sensitivities(trial, progress)
    search = _Search(trial, parts, aim)
    if target is not None:
        return search.between(1, len(parts) - 1)
    count = worthwhile(parts)
    cheap = search.leaving(count)
    if count and (cheap.trial.sqnr or 0.0) < trial.sqnr + LEAST_GAIN:
        count, cheap = 0, search.leaving(0)
    if cheap.met:
        return cheap
    return search.between(count + 1, _affordable(parts))


def is_useless(ratio: float | None) -> bool:
    """Whether outputs with this ratio of signal to noise, in dB, are too noisy for most uses."""
    return ratio is not None and ratio < FLOOR


def worthwhile(parts: Sequence[Part]) -> int:
    """How many of the first parts, their errors taken as independent, gain much for the time that they take."""
    left = sum(part.noise for part in parts)
    for count, part in enumerate(parts):
        rest = max(left - part.noise, 1e-30)
        gain = 10 * log10(left / rest)
        if -10 * log10(left) >= ENOUGH or gain < max(LEAST_GAIN, WORTH * part.price):
            return count
        left = rest
    return len(parts) - 1


def _affordable(parts: Sequence[Part]) -> int:
    spent, count = 0.0, 0
    while count < len(parts) - 1 and spent + parts[count].price <= MOST:
        spent += parts[count].price
        count += 1
    return count


class _Search:
    def __init__(self, trial: Trial, parts: list[Part], target: float) -> None:
        self.first = trial
        self.parts = parts
        self.target = target
        self.tried = {0: Mix(trial, [], target)}

    def leaving(self, count: int) -> Mix:
        """The mix that leaves the first parts float."""
        if count not in self.tried:
            chosen = self.parts[:count]
            candidate = self.first.candidate
            for part in chosen:
                candidate = candidate.leaving(part.floats)
            self.tried[count] = Mix(attempt(candidate, self.first.method), chosen, self.target)
        return self.tried[count]

    def between(self, low: int, high: int) -> Mix:
        """The mix with the fewest parts left float, from `low` to `high`, that reaches the target, found by halving.

        The closest one of those tried where none does.
        """
        while low < high:
            middle = (low + high) // 2
            if self.leaving(middle).met:
                high = middle
            else:
                low = middle + 1
        self.leaving(high)
        good = [count for count, mix in self.tried.items() if mix.met]
        if good:
            return self.tried[min(good)]
        return max(self.tried.values(), key=lambda mix: mix.trial.sqnr or 0.0)
