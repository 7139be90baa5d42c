"""Tiny random models of every family, with its own image processor, its special tokens and what its template writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    Gemma3Config,
    Glm4vConfig,
    Glm4vMoeConfig,
    Glm46VConfig,
    Idefics3Config,
    InternVLConfig,
    LlavaConfig,
    LlavaOnevisionConfig,
    Mistral3Config,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3_5Config,
    Qwen3_5MoeConfig,
    Qwen3VLConfig,
    Qwen3VLMoeConfig,
    SmolVLMConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from medvista.parsing import TAGS
from medvista.policies import VLMPolicy

CORPUS = "What is it? Is the solid region left of the scan? Zoom of image 0. Window 30. Error in call. yes no {}[]:,.\n"


@dataclass(frozen=True, kw_only=True)
class Words:
    """The tokens of a family, and how its template writes a conversation."""

    specials: Sequence[str]
    template: str
    eos: str
    bos: str | None = None
    named: dict[str, str] | None = None  # tokens that the family's processor asks the tokenizer for


def tokenizer(words: Words) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few hundred tokens with a family's special ones."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340 + len(words.specials),
        special_tokens=["<|pad|>", *words.specials],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator([CORPUS] * 8, trainer)
    bpe.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=words.eos,
        bos_token=words.bos,
        pad_token="<|pad|>",
        chat_template=words.template,
        extra_special_tokens=words.named or {},
        clean_up_tokenization_spaces=False,
    )


# -------------------------------------------------------------------------------------- what families' templates write

_PARTS = "{%% for part in m.content %%}{%% if part.type == 'image' %%}%s{%% else %%}%s{%% endif %%}{%% endfor %%}"


def _chatml(image: str, default_system: str = "") -> str:
    """ChatML, as Qwen-VL, InternVL and LLaVA-OneVision write it."""
    system = "{% if messages[0].role != 'system' %}" + default_system + "{% endif %}" if default_system else ""
    parts = _PARTS % (image, "{{ part.text }}")
    turns = "{% for m in messages %}<|im_start|>{{ m.role }}\n" + parts + "<|im_end|>\n{% endfor %}"
    return system + turns + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


QWEN = Words(
    specials=(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ),
    template=_chatml(
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
    ),
    eos="<|im_end|>",
)
INTERNVL = Words(
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
    template=_chatml("<IMG_CONTEXT>\n"),
    eos="<|im_end|>",
    named={
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    },
)
GEMMA = Words(
    specials=(
        "<eos>",
        "<bos>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<start_of_image>",
        "<image_soft_token>",
        "<end_of_image>",
    ),
    template="{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n"
    + _PARTS % ("<start_of_image>", "{{ part.text | trim }}")
    + "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    eos="<eos>",
    bos="<bos>",
    named={"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
)
SMOLVLM = Words(
    specials=(
        "<|endoftext|>",
        "<|im_start|>",
        "<end_of_utterance>",
        "<fake_token_around_image>",
        "<global-img>",
        "<image>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
    ),
    template="<|im_start|>{% for m in messages %}{{ m.role | capitalize }}"
    "{{ ':' if m.content[0].type == 'image' else ': ' }}"
    + _PARTS % ("<image>", "{{ part.text }}")
    + "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}",
    eos="<end_of_utterance>",
)
LLAVA = Words(
    specials=("<s>", "</s>", "<image>"),
    template="{% for m in messages %}{{ m.role.upper() }}: "
    + _PARTS % ("<image>\n", "{{ part.text }} ")
    + "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    eos="</s>",
    bos="<s>",
    named={"image_token": "<image>"},
)
ONEVISION = Words(
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"),
    template="{% for m in messages %}<|im_start|>{{ m.role }} "
    "{% for part in m.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in m.content if part.type == 'text' %}{{ '\n' + part.text }}{% endfor %}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    eos="<|im_end|>",
    named={"image_token": "<image>", "video_token": "<video>"},
)
MISTRAL = Words(
    specials=(
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[SYSTEM_PROMPT]",
        "[/SYSTEM_PROMPT]",
        "[IMG]",
        "[IMG_BREAK]",
        "[IMG_END]",
    ),
    template="{{ bos_token }}{% if messages[0].role != 'system' %}[SYSTEM_PROMPT]Today is "
    "{{ strftime_now('%Y-%m-%d') }}.[/SYSTEM_PROMPT]{% endif %}{% for m in messages %}"
    "{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content[0].text }}[/SYSTEM_PROMPT]"
    "{% elif m.role == 'user' %}[INST]" + _PARTS % ("[IMG]", "{{ part.text }}") + "[/INST]"
    "{% else %}" + _PARTS % ("", "{{ part.text }}") + "{{ eos_token }}{% endif %}{% endfor %}",
    eos="</s>",
    bos="<s>",
)
GLM = Words(
    specials=(
        "<|endoftext|>",
        "[gMASK]",
        "<sop>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
        "<|video|>",
    ),
    template="[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n"
    + _PARTS % ("<|begin_of_image|><|image|><|end_of_image|>", "{{ part.text }}")
    + "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    eos="<|endoftext|>",
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


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """How to build one."""

    words: Words
    config: Callable[[Any, int], Any]
    image_processor: Callable[[], Any]


def _pixtral_processor() -> Any:
    return PixtralImageProcessorPil(size={"longest_edge": 48}, patch_size=8)


TINY: dict[str, Tiny] = {
    "qwen2_vl": Tiny(words=QWEN, config=_qwen2_vl, image_processor=_qwen_processor),
    "qwen2_5_vl": Tiny(words=QWEN, config=_qwen2_5_vl, image_processor=_qwen_processor),
    "qwen3_vl": Tiny(words=QWEN, config=lambda t, v: _qwen3(Qwen3VLConfig, t, v), image_processor=_qwen_processor),
    "qwen3_vl_moe": Tiny(
        words=QWEN, config=lambda t, v: _qwen3(Qwen3VLMoeConfig, t, v, **_MOE), image_processor=_qwen_processor
    ),
    "qwen3_5": Tiny(words=QWEN, config=lambda t, v: _qwen3_5(Qwen3_5Config, t, v), image_processor=_qwen_processor),
    "qwen3_5_moe": Tiny(
        words=QWEN,
        config=lambda t, v: _qwen3_5(Qwen3_5MoeConfig, t, v, **_MOE, shared_expert_intermediate_size=32),
        image_processor=_qwen_processor,
    ),
    "internvl": Tiny(
        words=INTERNVL, config=_internvl, image_processor=lambda: GotOcr2ImageProcessorPil(size=_SQUARE, max_patches=4)
    ),
    "gemma3": Tiny(words=GEMMA, config=_gemma3, image_processor=lambda: Gemma3ImageProcessorPil(size=_SQUARE)),
    "idefics3": Tiny(
        words=SMOLVLM,
        config=lambda t, v: _tiles(Idefics3Config, t, v),
        image_processor=lambda: Idefics3ImageProcessorPil(**_TILES),
    ),
    "smolvlm": Tiny(
        words=SMOLVLM,
        config=lambda t, v: _tiles(SmolVLMConfig, t, v),
        image_processor=lambda: SmolVLMImageProcessorPil(**_TILES),
    ),
    "llava": Tiny(
        words=LLAVA,
        config=_llava,
        image_processor=lambda: CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=_SQUARE),
    ),
    "llava_onevision": Tiny(
        words=ONEVISION,
        config=_onevision,
        image_processor=lambda: LlavaOnevisionImageProcessorPil(size=_SQUARE, image_grid_pinpoints=_PINPOINTS),
    ),
    "mistral3": Tiny(words=MISTRAL, config=_mistral3, image_processor=_pixtral_processor),
    "pixtral": Tiny(words=MISTRAL, config=_pixtral, image_processor=_pixtral_processor),
    "glm4v": Tiny(words=GLM, config=lambda t, v: _glm(Glm4vConfig, t, v), image_processor=_glm_processor),
    "glm4v_moe": Tiny(
        words=GLM, config=lambda t, v: _glm(Glm4vMoeConfig, t, v, **_GLM_MOE), image_processor=_glm_processor
    ),
    "glm46v": Tiny(words=GLM, config=_glm46v, image_processor=_glm_processor),
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


def build(name: str) -> VLMPolicy:
    """A random policy of one family."""
    tiny = TINY[name]
    tok = tokenizer(tiny.words)
    config = tiny.config(tok, len(tok) + 5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config)
        for parameter in model.parameters():  # some begin at 0 (Gemma 3's whole projector), or all at 1
            if parameter.detach().std() < 1e-3:
                torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.1)
    if tiny.words is GLM:  # nothing else says that these end a turn
        ends = ["<|endoftext|>", "<|user|>", "<|observation|>"]
        model.generation_config.eos_token_id = tok.convert_tokens_to_ids(ends)
    return VLMPolicy(model=model, tokenizer=tok, image_processor=tiny.image_processor()).eval()
