"""What a family of vision-language models has to say for itself; one subclass a family, one file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from medvista.errors import UserError
from medvista.policies.families.attention import within_window
from medvista.policies.families.pictures import PictureInput, one_each

Image = Mapping[str, Tensor]  # what a family makes of one picture: what the model takes, and what placeholders need


class Family:
    """How one family sees pictures, counts positions, masks attention and is talked to.

    The base class is the plain case: one tensor per picture, positions from 0, causal attention, tools in the first
    message of the user. A subclass overrides what its family does otherwise.

    Args:
        config: of the model.
        tokenizer: of the model, with its chat template.
        image_processor: of the model.
    """

    model_types: ClassVar[tuple[str, ...]] = ()  # `config.model_type` of its checkpoints
    tensors: ClassVar[frozenset[str]] = frozenset({"pixel_values"})  # what its image processor gives
    counts: ClassVar[frozenset[str]] = frozenset()  # those of them that placeholders need and the model does not take
    tower: ClassVar[str] = "vision_tower"  # the image encoder's name in the body of the model
    # Tokens beside the placeholder that belong to pictures; those that a vocabulary has are never sampled.
    visual_tokens: ClassVar[tuple[str, ...]] = ()
    # True where a token's state also depends on padding before it, so that rows may not share a cache.
    one_row_per_cache: ClassVar[bool] = False

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.pictures = PictureInput(
            image_processor, tensors=self.tensors, split=self.split, arrange=self.arrange, options=self.options
        )

    @classmethod
    def takes(cls, config: Any) -> bool:
        """Whether a model with this configuration is of the family."""
        return config.model_type in cls.model_types

    # ---------------------------------------------------------------------------------------------------------- tokens

    @property
    def image_token_id(self) -> int:
        """The placeholder of one visual token, where the model puts what it sees."""
        return int(self.config.image_token_id)

    @property
    def image_token(self) -> str:
        """The same as text."""
        return str(self.tokenizer.convert_ids_to_tokens(self.image_token_id))

    @property
    def mark(self) -> str:
        """What the chat template writes where a picture goes."""
        return self.image_token

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """Placeholders of a square picture, told from the model's configuration alone.

        What only an image processor knows, such as the most pixels that it takes, is as published models have it.

        Args:
            config: of the model.
            side: of the picture, in pixels.
        """
        raise NotImplementedError

    def placeholders(self, image: Image) -> str:
        """What stands in the prompt instead of the mark of a picture.

        Raises:
            UserError: the model's configuration does not say how many tokens a picture takes.
        """
        raise NotImplementedError

    def visual_ids(self) -> list[int]:
        """Ids that belong to pictures, so that none may be sampled: there would be no picture behind it."""
        vocabulary = self.tokenizer.get_vocab()
        return [self.image_token_id, *(vocabulary[token] for token in self.visual_tokens if token in vocabulary)]

    def first_messages(self, content: list[dict[str, Any]], tools: str) -> list[dict[str, Any]]:
        """The conversation up to the model's first turn.

        Args:
            content: pictures, then the question's text.
            tools: what is said about them; they stand behind the question, since not every template has a system role.
        """
        if tools:
            *pictures, asked = content
            content = [*pictures, {"type": "text", "text": f"{asked['text']}\n{tools}"}]
        return [{"role": "user", "content": content}]

    # ---------------------------------------------------------------------------------------------------------- images

    @property
    def options(self) -> Mapping[str, Any] | None:
        """What the image processor is told beside the pictures; None where a crop of it has to be undone."""
        return None

    def arrange(self, pictures: list[np.ndarray]) -> Any:
        """Pictures ``[H, W, 3]`` in the form in which the image processor is given them."""
        return pictures

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """What the image processor gave for several pictures, one mapping per picture."""
        return one_each(batch)

    def see(self, pictures: Sequence[np.ndarray]) -> list[dict[str, Tensor]]:
        """The tensors of pictures ``[H, W]`` or ``[H, W, 3]`` uint8, one mapping per picture."""
        return self.pictures(pictures)

    def collate(self, images: Sequence[Image], device: torch.device | None = None) -> dict[str, Tensor]:
        """What the model takes for several pictures, in the order of their placeholders; empty for none."""
        if not images:
            return {}
        names = images[0].keys() - self.counts
        return {name: torch.cat([image[name] for image in images]).to(device) for name in sorted(names)}

    # ----------------------------------------------------------------------------------------------------------- model

    def vision_tower(self, body: nn.Module) -> nn.Module:
        """The image encoder, projector included where the model keeps them together."""
        return body.get_submodule(self.tower)

    def features(self, body: Any, images: Mapping[str, Tensor]) -> Tensor:
        """``[tokens, width]``: what the model puts in place of the placeholders of these images, in their order.

        Args:
            body: of the model, below its head.
            images: collated.
        """
        found = body.get_image_features(**images).pooler_output
        return found if isinstance(found, Tensor) else torch.cat(list(found))

    def positions(self, body: nn.Module, ids: Tensor, mask: Tensor, images: Mapping[str, Tensor]) -> Tensor:
        """Position of each token, counted from 0 in every row; the last two dimensions are ``[B, T]``.

        Args:
            body: of the model, below its head.
            ids: ``[B, T]``.
            mask: ``[B, T]``, 1 on real tokens.
            images: collated.
        """
        return (mask.cumsum(-1) - 1).clamp_min(0)

    def text_positions(self, next_position: Tensor) -> Tensor:
        """Positions as `positions` gives them, of one token of text per row, from its number ``[B]``."""
        return next_position[:, None]

    def beside(self, ids: Tensor) -> dict[str, Tensor]:
        """What else the model takes with whole streams ``[B, T]``, images or not."""
        return {}

    def pattern(self, causal: Tensor, columns: Tensor, ids: Tensor, real: Tensor) -> Tensor:
        """``[B, 1, n, L]`` True where new tokens of a cache may look, whatever the distance; see `visible`."""
        return causal

    def visible(
        self, causal: Tensor, columns: Tensor, ids: Tensor, real: Tensor
    ) -> Tensor | Mapping[str, Tensor | None]:
        """The attention mask of tokens that are fed to a cache, as the model takes it.

        Args:
            causal: ``[B, 1, n, L]`` True where each may look if every token looks at all before it.
            columns: ``[B, n]``, where the new tokens stand in the cache.
            ids: ``[B, L]``, the tokens of the cache, those that are fed now included.
            real: ``[B, L]``, 1 where the cache holds a token.
        """
        pattern, window = self.pattern(causal, columns, ids, real), self.window
        if window is None:
            return pattern
        sliding = pattern & within_window(columns, real, window)
        by_layer = hasattr(self.config.get_text_config(), "layer_types")
        return {"full_attention": pattern, "sliding_attention": sliding} if by_layer else sliding

    def new_cache(self) -> DynamicCache:
        """An empty key-value cache."""
        # A cache that knows of a window drops its oldest columns, which are not the oldest tokens where rows have gaps.
        return DynamicCache(config=self.config.get_text_config()) if self.window is None else DynamicCache()

    @property
    def window(self) -> int | None:
        """How many tokens back the layers that do not see everything look; None where all do."""
        return getattr(self.config.get_text_config(), "sliding_window", None)  # most configurations know of none

    def check_attention(self, kind: str) -> None:
        """Whether rollouts in this process can use the kind of attention that the model was loaded with.

        Raises:
            UserError: they cannot.
        """
        if kind != "sdpa":  # eager would add the boolean mask to its scores, flash wants rows without gaps
            raise UserError(
                f"rollouts in this process need attention of kind 'sdpa', the model was loaded with '{kind}'; "
                "load it with attn_implementation='sdpa'."
            )
