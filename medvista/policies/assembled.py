"""A vision-language model out of a pretrained language model and a small vision tower that has yet to learn to see.

Stock `LlavaForConditionalGeneration`: a SigLIP tower of the nano model's size, a projector, and the language model as
it is. Saved and loaded in Hugging Face form like any other; the pre-stage of the nano model teaches the tower.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

from medvista.errors import UserError
from medvista.policies.vlm_policy import VLMPolicy
from medvista.settings import NanoConfig

IMAGE_TOKEN = "<image>"

# ChatML, which is what small instruction-tuned models speak, with a place for pictures; no system turn.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{%- if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif -%}
{%- endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}"""


def assemble(language_model: Path, config: NanoConfig, *, seed: int = 0) -> VLMPolicy:
    """Puts a new vision tower before a language model.

    Args:
        language_model: a folder in Hugging Face form, or a ``.gguf`` file, of a model that speaks ChatML.
        config: whose view and vision tower are used; four patches of the nano model are one here.
        seed: of the tower and the projector.

    Raises:
        UserError: nothing can be loaded from there, or it does not speak ChatML.
    """
    text, tokenizer = _load(language_model)
    if not {"<|im_start|>", "<|im_end|>"} <= set(tokenizer.get_vocab()):
        raise UserError(
            f"policy.language_model={language_model} has no <|im_start|> and <|im_end|>: give a model tuned on "
            "ChatML, such as SmolLM2-Instruct or Qwen2.5-Instruct."
        )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    tokenizer.chat_template = CHAT_TEMPLATE
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    # The placeholder's own embedding is never used: what the tower sees takes its place.
    rows = max(len(tokenizer), text.get_input_embeddings().num_embeddings)
    text.resize_token_embeddings(rows, mean_resizing=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(_model_config(text.config, config, image_id))
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.lm_head.load_state_dict(text.lm_head.state_dict())
    model.tie_weights()
    size = {"height": config.view_size, "width": config.view_size}
    processor = SiglipImageProcessorPil(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return VLMPolicy(model=model, tokenizer=tokenizer, image_processor=processor)


def _load(path: Path) -> tuple[Any, Any]:
    where, options = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (path, {})
    try:
        model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **options)
        return model, AutoTokenizer.from_pretrained(where, **options)
    except ImportError as error:
        raise UserError(
            f"reading {path} needs a package that is missing ({error}): pip install medvista[gguf]"
        ) from None
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"policy.language_model={path} cannot be loaded ({first}); give a folder in Hugging Face format or a .gguf "
            "file of a text model."
        ) from error


def _model_config(text_config: Any, config: NanoConfig, image_id: int) -> LlavaConfig:
    patch = 2 * config.patch_size
    vision = SiglipVisionConfig(
        hidden_size=config.vision_hidden_size,
        intermediate_size=config.vision_intermediate_size,
        num_hidden_layers=config.vision_depth,
        num_attention_heads=config.vision_heads,
        image_size=config.view_size,
        patch_size=patch,
        vision_use_head=False,
    )
    values = text_config.to_dict()
    values.pop("quantization_config", None)  # of the file it was read from; the weights here are whole
    return LlavaConfig(
        text_config=type(text_config)(**values),
        vision_config=vision,
        image_token_index=image_id,
        image_seq_length=(config.view_size // patch) ** 2,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=bool(text_config.tie_word_embeddings),
    )
