"""A vision-language model small enough to train from scratch on two CPU cores.

Stock `Qwen3VLForConditionalGeneration` built from a config (about one million parameters) and a byte-level BPE trained
on the spot. Saved and loaded in Hugging Face form by the loader that also takes a hub id, so whatever runs with the
nano model runs with an 8B one.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from medvista.parsing import TAGS
from medvista.policies.vlm_policy import VLMPolicy
from medvista.settings import NanoConfig

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# The header of a call (tool name and first argument), a number, a word with its space, punctuation, white space. The
# first alternative lets BPE learn each tool's header as one token, which halves the length of an episode.
_PRE_TOKEN = Regex(r'\{"name": "\w+", "arguments": \{("\w+": ?[\["]?)?|\d+| ?\p{L}+|[^\s\p{L}\d]+ ?|\s+')

CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif -%}
{%- endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}"""


def build_nano(corpus: Iterable[str], config: NanoConfig | None = None, *, seed: int = 0) -> VLMPolicy:
    """A randomly initialised nano policy whose vocabulary is learned from `corpus`."""
    config = config or NanoConfig()
    tokenizer = train_tokenizer(corpus, config.vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(_model_config(config, tokenizer))
    return VLMPolicy(model=model, tokenizer=tokenizer, image_processor=_image_processor(config))


def train_tokenizer(corpus: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE with the ChatML special tokens and the turn grammar's tags as single tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PRE_TOKEN, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TAGS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_without_tags(corpus), trainer)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        clean_up_tokenization_spaces=False,
    )


def _without_tags(corpus: Iterable[str]) -> Iterable[str]:
    for text in corpus:
        for tag in TAGS:
            text = text.replace(tag, " ")
        yield text


def _model_config(config: NanoConfig, tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    head_dim = config.hidden_size // config.heads
    temporal = head_dim // 2 - 2 * (head_dim // 6)  # M-RoPE splits the half head between time, height and width
    grid = config.view_size // config.patch_size
    ids = tokenizer.get_vocab()
    return Qwen3VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": config.hidden_size,
            "intermediate_size": config.intermediate_size,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.kv_heads,
            "head_dim": head_dim,
            "tie_word_embeddings": True,
            "initializer_range": config.text_init_std,
            "max_position_embeddings": 4096,
            "pad_token_id": ids["<|endoftext|>"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [temporal, head_dim // 6, head_dim // 6],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": config.vision_depth,
            "hidden_size": config.vision_hidden_size,
            "intermediate_size": config.vision_intermediate_size,
            "num_heads": config.vision_heads,
            "patch_size": config.patch_size,
            "temporal_patch_size": 1,
            "spatial_merge_size": 2,
            "out_hidden_size": config.hidden_size,
            "num_position_embeddings": grid * grid,
            "deepstack_visual_indexes": [],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def _image_processor(config: NanoConfig) -> Qwen2VLImageProcessorPil:
    # The variant without "Pil" wants torchvision, which has no CPU build for every platform we support.
    return Qwen2VLImageProcessorPil(
        patch_size=config.patch_size,
        temporal_patch_size=1,
        merge_size=2,
        size={"shortest_edge": (2 * config.patch_size) ** 2, "longest_edge": config.view_size**2},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
