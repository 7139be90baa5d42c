"""Configurations of tiny models of every family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import (
    Gemma3Config,
    Glm4vConfig,
    Glm4vMoeConfig,
    Glm46VConfig,
    Idefics3Config,
    InternVLConfig,
    LlavaConfig,
    LlavaOnevisionConfig,
    Mistral3Config,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3_5Config,
    Qwen3_5MoeConfig,
    Qwen3VLConfig,
    Qwen3VLMoeConfig,
    SmolVLMConfig,
)

# ------------------------------------------------------------------------------------------------------------- models

_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,  # at the usual 0.02 a model this small hardly minds what it reads
    "max_position_embeddings": 4096,
}
_MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_GLM_MOE = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
}
_QWEN_TOWER = {"depth": 1, "patch_size": 8, "temporal_patch_size": 2, "spatial_merge_size": 2, "initializer_range": 0.2}
_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "initializer_range": 0.2,
}
_SIGLIP = {**_TOWER, "model_type": "siglip_vision_model", "vision_use_head": False}


def _ids(tok: Any, **tokens: str) -> dict[str, int]:
    return {name: tok.convert_tokens_to_ids(token) for name, token in tokens.items()}


def _qwen_ids(tok: Any) -> dict[str, int]:
    return _ids(
        tok,
        image_token_id="<|image_pad|>",
        video_token_id="<|video_pad|>",
        vision_start_token_id="<|vision_start|>",
        vision_end_token_id="<|vision_end|>",
    )


def _qwen2_vl(tok: Any, vocab: int) -> Any:
    tower = {**_QWEN_TOWER, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    return Qwen2VLConfig(
        text_config={**_TEXT, "vocab_size": vocab, "rope_parameters": _MROPE}, vision_config=tower, **_qwen_ids(tok)
    )


def _qwen2_5_vl(tok: Any, vocab: int) -> Any:
    tower = {
        **_QWEN_TOWER,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "window_size": 32,
        "fullatt_block_indexes": [0],
    }
    return Qwen2_5_VLConfig(
        text_config={**_TEXT, "vocab_size": vocab, "rope_parameters": _MROPE}, vision_config=tower, **_qwen_ids(tok)
    )


def _qwen3_tower(**more: Any) -> dict[str, Any]:
    return {
        **_QWEN_TOWER,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "num_position_embeddings": 16,
        **more,
    }


def _qwen3(config: type, tok: Any, vocab: int, **text: Any) -> Any:
    rope = {**_MROPE, "mrope_interleaved": True}
    tower = _qwen3_tower(deepstack_visual_indexes=[0])
    text_config = {**_TEXT, "vocab_size": vocab, "rope_parameters": rope, **text}
    return config(text_config=text_config, vision_config=tower, **_qwen_ids(tok))


def _qwen3_5(config: type, tok: Any, vocab: int, **text: Any) -> Any:
    rope = {**_MROPE, "mrope_interleaved": True, "partial_rotary_factor": 1.0}
    linear = {
        "num_hidden_layers": 4,
        "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "initializer_range": 0.1,  # recurrence makes more of rounding
    }
    text_config = {**_TEXT, **linear, "vocab_size": vocab, "rope_parameters": rope, **text}
    return config(text_config=text_config, vision_config=_qwen3_tower(), **_qwen_ids(tok))


def _internvl(tok: Any, vocab: int) -> Any:
    tower = {
        **_TOWER,
        "image_size": [32, 32],
        "patch_size": [8, 8],
        "layer_scale_init_value": 1.0,
        "use_absolute_position_embeddings": True,
    }
    text = {**_TEXT, "model_type": "qwen2", "vocab_size": vocab}
    return InternVLConfig(
        text_config=text,
        vision_config=tower,
        image_seq_length=4,
        downsample_ratio=0.5,
        **_ids(tok, image_token_id="<IMG_CONTEXT>"),
    )


def _gemma3(tok: Any, vocab: int) -> Any:
    text = {
        **_TEXT,
        "num_hidden_layers": 3,
        "vocab_size": vocab,
        "sliding_window": 24,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    }
    ids = _ids(
        tok,
        image_token_index="<image_soft_token>",
        boi_token_index="<start_of_image>",
        eoi_token_index="<end_of_image>",
    )
    return Gemma3Config(text_config=text, vision_config=_SIGLIP, mm_tokens_per_image=4, **ids)


def _tiles(config: type, tok: Any, vocab: int) -> Any:
    return config(
        text_config={**_TEXT, "model_type": "llama", "vocab_size": vocab},
        vision_config=_TOWER,
        scale_factor=2,
        **_ids(tok, image_token_id="<image>"),
    )


def _llava(tok: Any, vocab: int) -> Any:
    tower = {**_TOWER, "model_type": "clip_vision_model", "initializer_factor": 5.0}
    return LlavaConfig(
        text_config={**_TEXT, "model_type": "llama", "vocab_size": vocab},
        vision_config=tower,
        image_seq_length=16,
        vision_feature_layer=-1,
        **_ids(tok, image_token_index="<image>"),
    )


def _onevision(tok: Any, vocab: int) -> Any:
    return LlavaOnevisionConfig(
        text_config={**_TEXT, "model_type": "qwen2", "vocab_size": vocab},
        vision_config=_SIGLIP,
        image_grid_pinpoints=[[32, 32], [32, 64], [64, 32], [64, 64]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        **_ids(tok, image_token_index="<image>", video_token_index="<video>"),
    )


def _pixtral_tower() -> dict[str, Any]:
    return {**_TOWER, "model_type": "pixtral", "image_size": 64, "head_dim": 16}


def _mistral3(tok: Any, vocab: int) -> Any:
    return Mistral3Config(
        text_config={**_TEXT, "model_type": "mistral", "vocab_size": vocab, "sliding_window": None},
        vision_config=_pixtral_tower(),
        spatial_merge_size=2,
        vision_feature_layer=-1,
        **_ids(tok, image_token_index="[IMG]"),
    )


def _pixtral(tok: Any, vocab: int) -> Any:
    return LlavaConfig(
        text_config={**_TEXT, "model_type": "mistral", "vocab_size": vocab, "sliding_window": None},
        vision_config=_pixtral_tower(),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        **_ids(tok, image_token_index="[IMG]"),
    )


def _glm(config: type, tok: Any, vocab: int, **text: Any) -> Any:
    tower = {
        **_QWEN_TOWER,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "image_size": 64,
    }
    ids = _ids(
        tok,
        image_token_id="<|image|>",
        video_token_id="<|video|>",
        image_start_token_id="<|begin_of_image|>",
        image_end_token_id="<|end_of_image|>",
        video_start_token_id="<|begin_of_video|>",
        video_end_token_id="<|end_of_video|>",
    )
    rope = {**_MROPE, "partial_rotary_factor": 1.0}
    return config(
        text_config={**_TEXT, "vocab_size": vocab, "rope_parameters": rope, **text}, vision_config=tower, **ids
    )


def _glm46v(tok: Any, vocab: int) -> Any:
    """GLM-4.6V has no parts of its own."""
    like = _glm(Glm4vConfig, tok, vocab)
    ids = {name: value for name, value in like.to_dict().items() if name.startswith(("image_", "video_"))}
    return Glm46VConfig(text_config=like.text_config.to_dict(), vision_config=like.vision_config.to_dict(), **ids)


CONFIGS: dict[str, Callable[[Any, int], Any]] = {  # from a tokenizer and a vocabulary's size
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": lambda t, v: _qwen3(Qwen3VLConfig, t, v),
    "qwen3_vl_moe": lambda t, v: _qwen3(Qwen3VLMoeConfig, t, v, **_MOE),
    "qwen3_5": lambda t, v: _qwen3_5(Qwen3_5Config, t, v),
    "qwen3_5_moe": lambda t, v: _qwen3_5(Qwen3_5MoeConfig, t, v, **_MOE, shared_expert_intermediate_size=32),
    "internvl": _internvl,
    "gemma3": _gemma3,
    "idefics3": lambda t, v: _tiles(Idefics3Config, t, v),
    "smolvlm": lambda t, v: _tiles(SmolVLMConfig, t, v),
    "llava": _llava,
    "llava_onevision": _onevision,
    "mistral3": _mistral3,
    "pixtral": _pixtral,
    "glm4v": lambda t, v: _glm(Glm4vConfig, t, v),
    "glm4v_moe": lambda t, v: _glm(Glm4vMoeConfig, t, v, **_GLM_MOE),
    "glm46v": _glm46v,
}
