"""The policy: a vision-language model with its tokenizer and image processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from medvista.errors import UserError
from medvista.functional.log_probs import WithEntropy, chosen_log_probs
from medvista.policies.families import PictureInput, TurnEnds, find_chat_template, turn_ends
from medvista.policies.logits_head import apply_head, head_form

_UNKNOWN = "unknown"  # the form of the head before the first forward pass
_VISUAL_IDS = (
    "image_token_id",
    "image_token_index",
    "video_token_id",
    "video_token_index",
    "vision_start_token_id",
    "vision_end_token_id",
)


class VLMPolicy(nn.Module):
    """Wraps an ``AutoModelForImageTextToText`` for training and rollouts.

    Families whose image processor gives a grid of patches (Qwen2-VL, Qwen2.5-VL, Qwen3-VL) or one square image of a
    fixed number of tokens (LLaVA) work; Qwen3-VL, Qwen2-VL and LLaVA are held to it by tests. Gemma 3, whose image
    tokens see each other both ways, and families that tile an image (LLaVA-NeXT, Idefics3) do not.

    Only ids that may be *sampled* get probability: special tokens other than those that end a turn, and the padded tail
    of the vocabulary, are banned, here and in the engine alike, so that both compute the same distribution.

    Raises:
        UserError: nothing says how a turn of this model ends.
    """

    allowed_ids: Tensor  # [V] bool

    def __init__(self, *, model: Any, tokenizer: Any, image_processor: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.pictures = PictureInput(image_processor)
        self._head_form: str | None = _UNKNOWN
        self.turn_ends: TurnEnds = turn_ends(tokenizer, getattr(model, "generation_config", None))
        vocab_size = model.get_output_embeddings().weight.shape[0]
        allowed = _allowed_ids(tokenizer, vocab_size, self.turn_ends.ids)
        # Not every tokenizer calls the visual placeholders special, and a sampled one has no image behind it.
        allowed[_visual_ids(model.config)] = False
        self.register_buffer("allowed_ids", allowed, persistent=False)

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
            model = AutoModelForImageTextToText.from_pretrained(path, **model_kwargs)
            tokenizer = AutoTokenizer.from_pretrained(path)
            tokenizer.chat_template = find_chat_template(path, tokenizer, model.config)
            return cls(model=model, tokenizer=tokenizer, image_processor=AutoImageProcessor.from_pretrained(path))
        except UserError:
            raise
        except (OSError, ValueError, SafetensorError) as error:
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

    def text_positions(self, next_position: Tensor) -> Tensor:
        """Positions in the form of `position_ids`, of one token of text per row, from its number ``[B]``."""
        positions = next_position[:, None]
        return positions.expand(3, -1, -1) if hasattr(self.model.model, "get_rope_index") else positions

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
        if "position_ids" not in kwargs:
            kwargs["position_ids"] = self.position_ids(input_ids, attention_mask, images)
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=last, **images, **kwargs
        ).logits

    def forward(
        self,
        token_ids: Tensor,
        attention_mask: Tensor,
        loss_mask: Tensor,
        images: Sequence[Sequence[Mapping[str, Tensor]]],
        *,
        temperature: float = 1.0,
        entropy: WithEntropy = "no",
        rows_at_once: int = 48,
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of every token that carries loss given those before it, and the entropy it was drawn at.

        Rows are scored in buckets of similar length, and the vocabulary only at the positions that count, in chunks:
        episodes differ several times in length, and most of their tokens are images and observations.

        Args:
            token_ids: ``[N, T]``, right-padded.
            attention_mask: ``[N, T]``, 1 on real tokens.
            loss_mask: ``[N, T]`` bool.
            images: of each row, the processor's tensors in the order of their placeholders.
            temperature: of the sampling distribution.
            entropy: whether to compute the entropies, in nats, and with a gradient or not.
            rows_at_once: size of a bucket.

        Returns:
            ``[N, T]`` log-probabilities and ``[N, T]`` entropies (zeros unless asked for), 0 where no loss is carried.
        """
        by_length = attention_mask.sum(dim=1).argsort(stable=True)
        scores = [torch.zeros(token_ids.shape, dtype=torch.float32, device=token_ids.device) for _ in range(2)]
        for rows in by_length.split(rows_at_once):
            longest = int(attention_mask[rows].sum(dim=1).max())
            ids, mask = token_ids[rows, :longest], attention_mask[rows, :longest]
            tensors = collate_images([image for row in rows.tolist() for image in images[row]], token_ids.device)
            row, column = loss_mask[rows, :longest].nonzero(as_tuple=True)
            head, states = self._states_before(ids, mask, tensors, row, column)
            found = chosen_log_probs(
                head, states, ids[row, column], self.allowed_ids, temperature=temperature, entropy=entropy
            )
            at = (rows[row], column)
            scores = [all_.index_put(at, some) for all_, some in zip(scores, found, strict=True)]
        return scores[0], scores[1]

    def _states_before(
        self, ids: Tensor, mask: Tensor, images: Mapping[str, Tensor], row: Tensor, column: Tensor
    ) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """A head, and the ``[K, D]`` states whose logits the tokens at ``(row, column)`` were drawn from."""
        if self._head_form is _UNKNOWN:
            self._head_form = head_form(self.model, self._on_some_text)
        form = self._head_form
        if form is None:  # the states are the logits themselves
            return torch.nn.Identity(), self.logits(ids, mask, images)[row, column - 1]
        positions = self.position_ids(ids, mask, images)
        hidden = self.model.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, **images)
        return partial(apply_head, self.model, form), hidden[0][row, column - 1]

    def _on_some_text(self, model: Any) -> Any:
        """What a model, or the body of it, gives for a few tokens of text."""
        ids = self.allowed_ids.nonzero()[:8].T
        mask = torch.ones_like(ids)
        return model(input_ids=ids, attention_mask=mask, position_ids=self.position_ids(ids, mask, {}), use_cache=False)


def collate_images(images: Sequence[Mapping[str, Tensor]], device: torch.device | None = None) -> dict[str, Tensor]:
    """The tensors of several processed images, concatenated along their first dimension; empty for no image."""
    if not images:
        return {}
    return {name: torch.cat([image[name] for image in images]).to(device) for name in images[0]}


def image_shapes(images: Sequence[Mapping[str, Tensor]], device: torch.device | None = None) -> dict[str, Tensor]:
    """What positions depend on of several processed images: all but their pixels."""
    shapes = [{name: tensor for name, tensor in image.items() if name != "pixel_values"} for image in images]
    return collate_images(shapes, device)


def _visual_ids(config: Any) -> list[int]:
    """The placeholders of images and videos and what encloses them."""
    ids = [getattr(config, name, None) for name in _VISUAL_IDS]
    return sorted({i for i in ids if i is not None})


def _allowed_ids(tokenizer: Any, vocab_size: int, ends: Sequence[int]) -> Tensor:
    """``[V]`` True where an id may be sampled: those of text, and the ones that end a turn."""
    allowed = torch.zeros(vocab_size, dtype=torch.bool)
    allowed[: len(tokenizer)] = True
    banned = set(tokenizer.all_special_ids)
    banned |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    allowed[[i for i in banned if i < vocab_size]] = False
    allowed[list(ends)] = True
    return allowed
