"""Inference by other runtimes, from the ONNX graph of a contestant."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers import find
from benchmarks.throughput.steps import DTYPES, Batch
from seattn import fuse_for_inference

__all__ = ["EXPORTS"]

Step = Callable[[], Tensor]


def _onnx(network: nn.Module, batch: Batch) -> bytes:
    program = torch.onnx.export(
        network.float(), (batch.images,), dynamo=True, optimize=True, verbose=False
    )
    if program is None:
        raise RuntimeError("torch.onnx.export gave nothing")
    return program.model_proto.SerializeToString()


def _require(module: str, batch: Batch) -> Any:
    library = find(module)
    if library is None:
        raise ImportError(f"{module} is not installed")
    if batch.dtype != "fp32":
        raise ValueError(f"{module} runs the exported graph in fp32, not in {batch.dtype}")
    return library


def _onnxruntime(network: nn.Module, batch: Batch) -> Step:
    library = _require("onnxruntime", batch)
    cuda = batch.images.device.type == "cuda"
    provider = "CUDAExecutionProvider" if cuda else "CPUExecutionProvider"
    if provider not in library.get_available_providers():
        raise ImportError(f"this onnxruntime has no {provider}")
    options = library.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = library.InferenceSession(_onnx(network, batch), options, providers=[provider])
    (name,) = (each.name for each in session.get_inputs())
    images = batch.images.contiguous()
    if not cuda:
        feed = {name: images.numpy()}
        return lambda: torch.from_numpy(session.run(None, feed)[0])
    binding = session.io_binding()
    binding.bind_ortvalue_input(name, library.OrtValue.ortvalue_from_dlpack(images))
    binding.bind_output(session.get_outputs()[0].name, "cuda")

    def step() -> Tensor:
        session.run_with_iobinding(binding)
        return torch.from_numpy(binding.copy_outputs_to_cpu()[0]).to(images.device)

    return step


def _openvino(network: nn.Module, batch: Batch) -> Step:
    library = _require("openvino", batch)
    core = library.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": torch.get_num_threads()})
    model = core.read_model(io.BytesIO(_onnx(network, batch)))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = batch.images.contiguous().numpy()
    return lambda: torch.from_numpy(compiled(images)[0])


def _tensorrt(network: nn.Module, batch: Batch) -> Step:
    library = find("torch_tensorrt")
    if library is None:
        raise ImportError("torch_tensorrt is not installed")
    if batch.images.device.type != "cuda":
        raise ImportError("TensorRT needs a CUDA device")
    dtype = DTYPES[batch.dtype]
    images = batch.images.to(dtype).contiguous()
    compiled = library.compile(
        network.to(dtype), ir="dynamo", inputs=[images], enabled_precisions={dtype}
    )

    def step() -> Tensor:
        with torch.inference_mode():
            return compiled(images)

    return step


def _for_inference(
    run: Callable[[nn.Module, Batch], Step], network: nn.Module, batch: Batch
) -> Step:
    return run(fuse_for_inference(network, example=batch.images), batch)


EXPORTS: Mapping[str, Callable[[nn.Module, Batch], Step]] = {
    "ONNX Runtime": _onnxruntime,
    "OpenVINO": _openvino,
    "TensorRT": _tensorrt,
    "for inference, ONNX Runtime": partial(_for_inference, _onnxruntime),
    "for inference, OpenVINO": partial(_for_inference, _openvino),
}
