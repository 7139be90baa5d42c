"""Checkpoints of a few thousand parameters, written to disk as the hub has them: real classes, random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertTokenizerFast,
    CLIPTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    PreTrainedModel,
    Sam2Config,
    Sam2Model,
    Sam3VideoConfig,
    Sam3VideoModel,
    SamConfig,
    SamModel,
)

SIDE = 64  # pixels per side of what every tiny segmenter reads

_DECODER = {
    "hidden_size": 16,
    "mlp_dim": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 16,
    "iou_head_depth": 2,
}
_PROMPTS = {"hidden_size": 16, "image_size": SIDE, "mask_input_channels": 4}


def save_sam(folder: Path) -> Path:
    """A tiny SAM, as facebook/sam-vit-base is stored; MedSAM's checkpoints have the same form."""
    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 16,
        "output_channels": 16,
        "window_size": 2,
        "global_attn_indexes": [0],
        "num_pos_feats": 8,
    }
    config = SamConfig(
        vision_config=vision,
        prompt_encoder_config={**_PROMPTS, "patch_size": 16},
        mask_decoder_config=_DECODER,
    )
    return _save(SamModel, config, folder, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])


def save_sam2(folder: Path) -> Path:
    """A tiny SAM 2, as an image-only checkpoint."""
    backbone = {
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 4],
        "window_size_per_stage": [8, 4, 4, 2],
        "window_positional_embedding_background_size": [4, 4],
        "global_attention_blocks": [3],
    }
    vision = {
        "backbone_config": {"model_type": "sam2_hiera_det_model", **backbone},
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 16,
        "fpn_top_down_levels": [2, 3],
    }
    config = Sam2Config(
        vision_config=vision, prompt_encoder_config={**_PROMPTS, "patch_size": 16}, mask_decoder_config=_DECODER
    )
    return _save(Sam2Model, config, folder, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])


def save_sam3(folder: Path) -> Path:
    """A tiny SAM 3 as facebook/sam3 is stored: a detector that reads and a tracker that takes boxes and points."""
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            **small,
            "num_hidden_layers": 2,
            "image_size": SIDE,
            "patch_size": 8,
            "window_size": 4,
            "global_attn_indexes": [1],
            "pretrain_image_size": 32,
        },
        "fpn_hidden_size": 16,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }
    text = {
        "model_type": "clip_text_model",
        **small,
        "num_hidden_layers": 1,
        **_clip_ids(),
        "projection_dim": 16,
        "max_position_embeddings": 16,
    }
    detector = {
        "model_type": "sam3",
        "vision_config": vision,
        "text_config": text,
        "geometry_encoder_config": {**small, "num_layers": 1},
        "detr_encoder_config": {**small, "num_layers": 1},
        "detr_decoder_config": {**small, "num_layers": 1, "num_queries": 5},
        "mask_decoder_config": {"hidden_size": 16, "num_attention_heads": 2},
    }
    tracker = {
        "model_type": "sam3_tracker_video",
        "image_size": SIDE,
        "vision_config": vision,
        "prompt_encoder_config": {**_PROMPTS, "patch_size": 8},
        "mask_decoder_config": _DECODER,
        "memory_attention_hidden_size": 16,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 32,
        "memory_encoder_hidden_size": 16,
        "memory_encoder_output_channels": 8,
        "memory_attention_rope_feat_sizes": [8, 8],
        "mask_downsampler_embed_dim": 16,
        "memory_fuser_embed_dim": 16,
        "memory_fuser_intermediate_dim": 32,
        "memory_fuser_num_layers": 1,
    }
    config = Sam3VideoConfig(detector_config=detector, tracker_config=tracker)
    _clip_tokenizer(folder)
    return _save(Sam3VideoModel, config, folder, mean=[0.5] * 3, std=[0.5] * 3)


def save_grounding_dino(folder: Path) -> Path:
    """A tiny Grounding DINO with its processor."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "left", "right", "lung", "heart"]
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin",
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "window_size": 4,
            "image_size": SIDE,
            "out_indices": [2, 3, 4],
        },
        text_config={
            "model_type": "bert",
            "vocab_size": len(words),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=6,
    )
    sizes = {"shortest_edge": SIDE, "longest_edge": 2 * SIDE}
    processor = GroundingDinoProcessor(
        GroundingDinoImageProcessorPil(size=sizes), BertTokenizerFast(tokenizer_object=tokenizer)
    )
    torch.manual_seed(0)
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_owlv2(folder: Path) -> Path:
    """A tiny OWLv2 with its processor: on any picture it finds the same grid of boxes."""
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Owlv2Config(
        text_config={
            **small,
            **_clip_ids(),
            "max_position_embeddings": 16,
        },
        vision_config={**small, "image_size": SIDE, "patch_size": 16},
        projection_dim=16,
    )
    processor = Owlv2Processor(Owlv2ImageProcessorPil(size={"height": SIDE, "width": SIDE}), _clip_tokenizer(folder))
    torch.manual_seed(0)
    model = Owlv2ForObjectDetection(config)
    for parameter in model.box_head.dense2.parameters():
        torch.nn.init.zeros_(parameter)  # each patch then finds a box of its size
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _save(model: type[PreTrainedModel], config: object, folder: Path, *, mean: list[float], std: list[float]) -> Path:
    torch.manual_seed(0)
    # Under the names the model has: the way back to the names of the hub doubles SAM 3's prefixes (transformers 5.23).
    model(config).save_pretrained(folder, save_original_format=False)
    seen = {"image_processor_type": "SamImageProcessor", "image_mean": mean, "image_std": std}
    (folder / "preprocessor_config.json").write_text(json.dumps(seen), encoding="utf-8")
    return folder


def _clip_vocabulary() -> dict[str, int]:
    """Letters, then CLIP's special tokens: where CLIP has them, and not at 0, which OWLv2 takes for padding."""
    letters = [chr(code) for code in range(97, 123)]
    words = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


def _clip_ids() -> dict[str, int]:
    size = len(_clip_vocabulary())
    return {"vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}


def _clip_tokenizer(folder: Path) -> CLIPTokenizerFast:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = CLIPTokenizerFast(vocab=_clip_vocabulary(), merges=[], model_max_length=16)
    tokenizer.save_pretrained(folder)
    return tokenizer
