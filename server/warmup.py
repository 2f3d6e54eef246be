"""The first run of a model, before anybody waits for it: plans are made and memory is taken then."""

from __future__ import annotations

import logging

import numpy as np

from rushlight.server.contract import Model
from rushlight.server.signature import Signature

logger = logging.getLogger(__name__)


def warm_up(name: str, model: Model) -> None:
    """Run `model` once on zeros, in a batch of 1; models of other symbolic sizes are left cold."""
    signature = Signature(model)
    inputs = {}
    for tensor in signature.inputs.values():
        shape = (1, *tensor.shape[1:]) if signature.batchable else tensor.shape
        sizes = [size for size in shape if isinstance(size, int)]
        if len(sizes) < len(shape):
            return
        inputs[tensor.name] = np.zeros(sizes, tensor.dtype)
    try:
        model.run(inputs)
    except Exception as error:
        logger.warning("model %s does not run on zeros: %s", name, error)
