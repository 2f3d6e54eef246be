"""The models of the comparison, as ONNX files: `python -m benchmarks.peers.models FOLDER [NAME ...]`.

Public architectures of torchvision and transformers, and three of `networks.py`, all with random weights of a fixed
seed, which are also written beside the ONNX file, as safetensors; silero-vad comes with its own. Every input has a free
batch, nothing else is free.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.peers.networks import Detector, Encoder, Recurrent, UNet
from rushlight.runtime.files import replacing


@dataclass(frozen=True)
class Model:
    """A module in evaluation mode and one sample of every input, the batch first."""

    module: nn.Module
    inputs: dict[str, torch.Tensor]


def torchvision_model(name: str) -> Model:
    declare_missing_operators()
    import torchvision

    return Model(torchvision.models.get_model(name, weights=None), {"image": torch.randn(1, 3, 224, 224)})


@functools.cache
def declare_missing_operators() -> torch.library.Library:
    """Let torchvision import where its compiled operators are for another build of torch; no model here uses them. The
    declarations live as long as what is returned."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d"):
        for operator in (name, f"q{name}", f"_{name}_backward"):
            if not hasattr(torch.ops.torchvision, operator):
                library.define(f"{operator}(Tensor a) -> Tensor")
    return library


def encoder(kind: str, length: int, **sizes: int) -> Model:
    declare_missing_operators()  # transformers imports torchvision where there is one
    import transformers

    config = getattr(transformers, f"{kind}Config")(**sizes)
    config._attn_implementation = "eager"
    ids = torch.randint(0, config.vocab_size, (1, length))
    return Model(
        Encoder(getattr(transformers, f"{kind}Model")(config)),
        {"input_ids": ids, "attention_mask": torch.ones(1, length, dtype=torch.int64)},
    )


def image_model(module: Callable[[], nn.Module], size: int) -> Callable[[], Model]:
    return lambda: Model(module(), {"image": torch.randn(1, 3, size, size)})


TORCHVISION = (
    "resnet50", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "densenet121",
    "regnet_y_1_6gf", "vit_b_16", "swin_t",
)  # fmt: skip

MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}

MODELS: dict[str, Callable[[], Model]] = {
    **{name: functools.partial(torchvision_model, name) for name in TORCHVISION},
    "bert_base": lambda: encoder("Bert", 128),
    "distilbert": lambda: encoder("DistilBert", 128),
    "minilm": lambda: encoder("Bert", 32, **MINILM),
    "unet": image_model(UNet, 256),
    "detector": image_model(Detector, 320),
    "lstm": lambda: Model(Recurrent(), {"sequence": torch.randn(1, 100, 64)}),
}

NAMES = (*MODELS, "silero_vad")


def load_module(name: str, weights: Path) -> nn.Module:
    """The module of a model with the weights that `write` left beside the ONNX file."""
    module = MODELS[name]().module
    module.load_state_dict(load_file(weights), assign=True)
    return module.eval()


def rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values in all nodes, those of branches too, which see the values around them."""
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                rename(attribute.g, names)


def silero_vad() -> bytes:
    """The 16 kHz model of the silero-vad package, its rate fixed, its state [batch, 2, 128] so that every input has the
    batch first."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("silero_vad: pip install --no-deps silero-vad")
    model = onnx.load(Path(spec.submodule_search_locations[0]) / "data" / "silero_vad_16k_op15.onnx")
    graph, helper = model.graph, onnx.helper
    rename(graph, {"state": "state_first", "stateN": "state_next"})
    del graph.input[:], graph.output[1:]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(16000, np.int64), "sr"))
    graph.node.insert(0, helper.make_node("Transpose", ["state"], ["state_first"], perm=[1, 0, 2]))
    graph.node.append(helper.make_node("Transpose", ["state_next"], ["stateN"], perm=[1, 0, 2]))
    f32 = onnx.TensorProto.FLOAT
    graph.input.append(helper.make_tensor_value_info("input", f32, ["batch", 576]))
    graph.input.append(helper.make_tensor_value_info("state", f32, ["batch", 2, 128]))
    graph.output.append(helper.make_tensor_value_info("stateN", f32, ["batch", 2, 128]))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def calm(module: nn.Module, seed: int) -> nn.Module:
    """Random weights where a constructor leaves zeros, and batch norms that take the mean of what they see, so that
    activations keep their size."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
        if isinstance(part, nn.Linear) and not part.weight.any():
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
    return module


def write(name: str, path: Path) -> None:
    """Write one model, and its weights as `.safetensors` where it has a module. The same versions of the packages write
    the same weights."""
    if name == "silero_vad":
        path.write_bytes(silero_vad())
        return
    torch.manual_seed(0)
    model = MODELS[name]()
    module, inputs = calm(model.module, 1), model.inputs
    if all(x.is_floating_point() for x in inputs.values()):
        module.train()
        with torch.no_grad():
            for _ in range(2):
                module(*(torch.randn(8, *x.shape[1:]) for x in inputs.values()))
    module.eval()
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path.with_suffix(".safetensors"))
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings(), torch.no_grad(), replacing(path) as whole:
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, tuple(inputs.values()), str(whole), input_names=list(inputs), output_names=["output"],
            dynamic_axes={key: {0: "batch"} for key in (*inputs, "output")}, opset_version=17, dynamo=False,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        path = args.folder / f"{name}.onnx"
        if not path.exists():
            write(name, path)
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
