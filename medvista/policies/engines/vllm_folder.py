"""The folder that vLLM starts from: a policy as an ordinary model, adapters merged, with the whole of its processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING

from medvista.errors import UserError
from medvista.policies.adapters import merged_state_dict
from medvista.policies.vlm_policy import VLMPolicy


def write_vllm_folder(policy: VLMPolicy, folder: Path) -> None:
    """Writes a policy in the form in which vLLM reads it.

    Args:
        policy: its weights, configuration, tokenizer and image processor are written.
        folder: that exists.

    Raises:
        UserError: nothing says how tokenizer and image processor of this kind of model go together.
    """
    model = policy.base_model
    model.save_pretrained(folder, state_dict=dict(merged_state_dict(model)))
    processor_of(policy).save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


def processor_of(policy: VLMPolicy) -> Any:
    """The policy's tokenizer and image processor as one processor, with what else belongs to it.

    Raises:
        UserError: see `write_vllm_folder`.
    """
    config = policy.base_model.config
    kind: Any = PROCESSOR_MAPPING.get(type(config), None)
    if kind is None:
        raise UserError(f"transformers has no processor for models of type {config.model_type}, which vLLM asks for.")
    processor = _stored(policy, kind)
    if processor is None:
        parts = {"image_processor": policy.image_processor, "tokenizer": policy.tokenizer}
        if "video_processor" in kind.get_attributes():
            parts["video_processor"] = _video_processor(config)
        processor = kind(**parts, chat_template=policy.tokenizer.chat_template)
    processor.image_processor, processor.tokenizer = policy.image_processor, policy.tokenizer
    return processor


def _stored(policy: VLMPolicy, kind: type) -> Any:
    """The processor beside the model that the policy was loaded from; None where only its parts are there."""
    try:
        found = AutoProcessor.from_pretrained(policy.tokenizer.name_or_path, trust_remote_code=False)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, kind) else None


def _video_processor(config: Any) -> Any:
    """Never used, and yet asked for by processors that could read videos."""
    kind: Any = VIDEO_PROCESSOR_MAPPING[type(config)]
    return (kind["torchvision"] if isinstance(kind, dict) else kind)()
