"""Every block leaves for ONNX, batch and size free, and onnxruntime computes the same."""

import pytest
import torch

from tests.portability.cases import ALONE, MIXED, free_batch_and_size, images, lively, networks

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@networks(MIXED, full=ALONE)
@pytest.mark.filterwarnings("ignore:.*treespec.*is deprecated:FutureWarning")
def test_onnxruntime_agrees(build):
    network = lively(build()).eval()
    exported = torch.onnx.export(
        network,
        (images(3, (48, 64)),),
        dynamo=True,
        dynamic_shapes=(free_batch_and_size(),),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(
        exported.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    for x in (images(1, (33, 33)), images(2, (57, 41))):
        (logits,) = session.run(None, {given.name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), network(x), rtol=1e-4, atol=1e-4)
