"""Tiny random models of every family, with its own image processor, its special tokens and what its template writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from medvista.policies import VLMPolicy
from tests.policies.families.family_words import (
    GEMMA,
    GLM,
    INTERNVL,
    LLAVA,
    MISTRAL,
    ONEVISION,
    QWEN,
    SMOLVLM,
    Words,
    tokenizer,
)
from tests.policies.families.tiny_configs import CONFIGS


def _qwen_processor() -> Any:
    return Qwen2VLImageProcessorPil(
        patch_size=8, temporal_patch_size=2, merge_size=2, size={"shortest_edge": 256, "longest_edge": 32 * 32}
    )


def _glm_processor() -> Any:
    return Glm4vImageProcessorPil(
        patch_size=8, temporal_patch_size=2, merge_size=2, size={"shortest_edge": 512, "longest_edge": 2 * 32 * 32}
    )


_SQUARE = {"height": 32, "width": 32}
_TILES = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
_PINPOINTS = [[32, 32], [32, 64], [64, 32], [64, 64]]


def _pixtral_processor() -> Any:
    return PixtralImageProcessorPil(size={"longest_edge": 48}, patch_size=8)


def _internvl_processor() -> Any:
    return GotOcr2ImageProcessorPil(size=_SQUARE, max_patches=4)


def _onevision_processor() -> Any:
    return LlavaOnevisionImageProcessorPil(size=_SQUARE, image_grid_pinpoints=_PINPOINTS)


def _clip_processor() -> Any:
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=_SQUARE)


TINY: dict[str, tuple[Words, Callable[[], Any]]] = {  # its tokens, and its image processor
    "qwen2_vl": (QWEN, _qwen_processor),
    "qwen2_5_vl": (QWEN, _qwen_processor),
    "qwen3_vl": (QWEN, _qwen_processor),
    "qwen3_vl_moe": (QWEN, _qwen_processor),
    "qwen3_5": (QWEN, _qwen_processor),
    "qwen3_5_moe": (QWEN, _qwen_processor),
    "internvl": (INTERNVL, _internvl_processor),
    "gemma3": (GEMMA, lambda: Gemma3ImageProcessorPil(size=_SQUARE)),
    "idefics3": (SMOLVLM, lambda: Idefics3ImageProcessorPil(**_TILES)),
    "smolvlm": (SMOLVLM, lambda: SmolVLMImageProcessorPil(**_TILES)),
    "llava": (LLAVA, _clip_processor),
    "llava_onevision": (ONEVISION, _onevision_processor),
    "mistral3": (MISTRAL, _pixtral_processor),
    "pixtral": (MISTRAL, _pixtral_processor),
    "glm4v": (GLM, _glm_processor),
    "glm4v_moe": (GLM, _glm_processor),
    "glm46v": (GLM, _glm_processor),
}
# Each of these is kin of one that is not here, but for Qwen3.5, whose recurrent layers are slow on a CPU.
_SLOW = (
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl_moe",
    "qwen3_5",
    "qwen3_5_moe",
    "idefics3",
    "pixtral",
    "glm4v_moe",
    "glm46v",
)
PARAMS = [pytest.param(name, marks=[pytest.mark.slow] * (name in _SLOW)) for name in TINY]


def build(name: str, real_tokenizer: Any = None) -> VLMPolicy:
    """A random policy of one family, with its own tiny tokenizer or another."""
    words, image_processor = TINY[name]
    tok = real_tokenizer or tokenizer(words)
    config = CONFIGS[name](tok, len(tok) + 5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config)
        for parameter in model.parameters():  # some begin at 0 (Gemma 3's whole projector), or all at 1
            if parameter.detach().std() < 1e-3:
                torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.1)
    if words is GLM:  # nothing else says that these end a turn
        ends = ["<|endoftext|>", "<|user|>", "<|observation|>"]
        model.generation_config.eos_token_id = tok.convert_tokens_to_ids(ends)
    return VLMPolicy(model=model, tokenizer=tok, image_processor=image_processor()).eval()
