"""The policy: a vision-language model with its tokenizer and image processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from medvista.errors import UserError
from medvista.functional.log_probs import restricted_log_softmax


class VLMPolicy(nn.Module):
    """Wraps any ``AutoModelForImageTextToText`` for training and rollouts.

    Only ids that may be *sampled* get probability: special tokens other than the end of turn, and the padded tail of
    the vocabulary, are banned, here and in the engine alike, so that both compute the same distribution.
    """

    def __init__(self, *, model: Any, tokenizer: Any, image_processor: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        vocab_size = model.get_output_embeddings().weight.shape[0]
        self.register_buffer("allowed_ids", _allowed_ids(tokenizer, vocab_size), persistent=False)

    @classmethod
    def from_pretrained(cls, path: str | Path, **model_kwargs: Any) -> VLMPolicy:
        """Loads a hub id or a local folder in Hugging Face form.

        Args:
            path: hub id such as ``"Qwen/Qwen3-VL-8B-Instruct"``, or a folder written by `save_pretrained`.
            model_kwargs: handed to ``AutoModelForImageTextToText.from_pretrained`` (``dtype``, ``device_map``, ...).

        Raises:
            UserError: when nothing can be loaded from there.
        """
        try:
            return cls(
                model=AutoModelForImageTextToText.from_pretrained(path, **model_kwargs),
                tokenizer=AutoTokenizer.from_pretrained(path),
                image_processor=AutoImageProcessor.from_pretrained(path),
            )
        except (OSError, ValueError) as error:
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"cannot load a vision-language model from '{path}' ({first_line}); "
                "give policy.path a hub id that this machine can reach or a folder in Hugging Face format."
            ) from error

    def save_pretrained(self, path: str | Path) -> None:
        """Writes model, tokenizer and image processor as one Hugging Face folder."""
        self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)
        self.image_processor.save_pretrained(path)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def image_token_id(self) -> int:
        """The placeholder of one visual token."""
        config = self.model.config
        return getattr(config, "image_token_id", None) or config.image_token_index

    @property
    def vision_tower(self) -> nn.Module:
        """The image encoder, projector included where the model keeps them together."""
        body = self.model.model
        for name in ("visual", "vision_tower", "vision_model"):
            if hasattr(body, name):
                return getattr(body, name)
        raise AttributeError(f"{type(self.model).__name__} has no known vision tower attribute")

    def count_visual_tokens(self, image: Mapping[str, Tensor]) -> int:
        """How many placeholder tokens one processed image takes."""
        if "image_grid_thw" in image:  # Qwen-VL, GLM-V and kin: patches of a grid, merged in squares
            merge = self.model.config.vision_config.spatial_merge_size
            return int(image["image_grid_thw"].prod()) // merge**2
        config = self.model.config
        for name in ("mm_tokens_per_image", "image_seq_length"):
            if getattr(config, name, None):
                return int(getattr(config, name))
        raise UserError(f"the image processor of {type(self.model).__name__} is not supported: no token count is known")

    def position_ids(self, input_ids: Tensor, attention_mask: Tensor, images: Mapping[str, Tensor]) -> Tensor:
        """Positions of each token, counted from 0 in every row: ``[B, T]``, or ``[3, B, T]`` for M-RoPE models."""
        if hasattr(self.model.model, "get_rope_index"):
            types = (input_ids == self.image_token_id).long()
            grid = images.get("image_grid_thw")
            positions, _ = self.model.model.get_rope_index(
                input_ids, mm_token_type_ids=types, image_grid_thw=grid, attention_mask=attention_mask
            )
            return positions
        return (attention_mask.cumsum(-1) - 1).clamp_min(0)

    def logits(
        self, input_ids: Tensor, attention_mask: Tensor, images: Mapping[str, Tensor], *, last: int = 0, **kwargs: Any
    ) -> Tensor:
        """Raw next-token logits ``[B, T, V]`` (or of the `last` positions only) for right-padded streams.

        Args:
            input_ids: ``[B, T]``.
            attention_mask: ``[B, T]``, 1 on real tokens.
            images: the processor's tensors of all images, row by row, in the order of their placeholders.
            last: 0 keeps every position.
            kwargs: handed to the model (``position_ids``, ``past_key_values``, ...).
        """
        kwargs.setdefault("position_ids", self.position_ids(input_ids, attention_mask, images))
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=last, **images, **kwargs
        ).logits

    def log_probs(
        self,
        token_ids: Tensor,
        attention_mask: Tensor,
        images: Mapping[str, Tensor],
        *,
        temperature: float = 1.0,
        with_entropy: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probability of every token given those before it, and the entropy of each of those distributions.

        Args:
            token_ids: ``[B, T]``, right-padded.
            attention_mask: ``[B, T]``.
            images: as for `logits`.
            temperature: of the sampling distribution.
            with_entropy: also compute the entropy, in nats.

        Returns:
            ``[B, T]`` log-probabilities, with 0 at the first position, and ``[B, T]`` entropies or None.
        """
        logits = self.logits(token_ids, attention_mask, images)[:, :-1]
        scores = restricted_log_softmax(logits, self.allowed_ids, temperature)
        chosen = scores.gather(-1, token_ids[:, 1:, None]).squeeze(-1)
        chosen = nn.functional.pad(chosen, (1, 0))
        if not with_entropy:
            return chosen, None
        entropy = -(scores.exp() * scores.masked_fill(~self.allowed_ids, 0.0)).sum(-1)
        return chosen, nn.functional.pad(entropy, (1, 0))


def collate_images(images: Sequence[Mapping[str, Tensor]], device: torch.device | None = None) -> dict[str, Tensor]:
    """The tensors of several processed images, concatenated along their first dimension; empty for no image."""
    if not images:
        return {}
    return {name: torch.cat([image[name] for image in images]).to(device) for name in images[0]}


def _allowed_ids(tokenizer: Any, vocab_size: int) -> Tensor:
    """``[V]`` True where an id may be sampled."""
    allowed = torch.zeros(vocab_size, dtype=torch.bool)
    allowed[: len(tokenizer)] = True
    banned = set(tokenizer.all_special_ids)
    banned |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    allowed[[i for i in banned if i < vocab_size]] = False
    allowed[tokenizer.eos_token_id] = True
    return allowed
