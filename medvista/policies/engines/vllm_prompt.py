"""What vLLM is asked: the tokens of an episode with one mark per image, and the images as they were shown."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image as Picture

from medvista.errors import UserError
from medvista.imaging.resample import widen
from medvista.policies.vlm_policy import VLMPolicy
from medvista.types import TokenStream, Trajectory


class VLLMPrompts:
    """Makes prompts for vLLM, which processes pictures and writes their placeholders itself.

    An image that stands in the prompt with all its placeholders would get as many more, without a word, so each run of
    them is replaced by the mark that the chat template writes.

    Args:
        policy: whose tokenizer and family rendered the episodes.
    """

    def __init__(self, policy: VLMPolicy) -> None:
        self.policy = policy
        self._mark = self._tokens(policy.family.mark)
        self._written = lru_cache(maxsize=256)(self._tokens)

    def __call__(self, trajectory: Trajectory, weights: str) -> dict[str, Any]:
        """The prompt of an episode's next turn.

        Args:
            trajectory: the episode so far.
            weights: names the weights; nothing that was computed with others is found under the names given here.
        """
        prompt: dict[str, Any] = {"prompt_token_ids": self.marked(trajectory.stream), "cache_salt": weights}
        pictures = shown_pictures(trajectory)
        if pictures:
            prompt["multi_modal_data"] = {"image": [as_rgb(pixels) for pixels in pictures]}
            prompt["multi_modal_uuids"] = {"image": [f"{weights}-{digest(pixels)}" for pixels in pictures]}
        return prompt

    def marked(self, stream: TokenStream) -> list[int]:
        """The tokens of a stream with one mark per image.

        Raises:
            UserError: the placeholders of an image are not found.
        """
        ids, marked, end = list(stream.token_ids), list[int](), 0
        for image in stream.images:
            written = self._written(self.policy.family.placeholders(image))
            start = _find(ids, written, end)
            if start is None:
                raise UserError(
                    f"the placeholders of an image of family {type(self.policy.family).__name__} are not found in the "
                    "prompt, so vLLM cannot be told where it stands: use policy.engine=transformers."
                )
            marked += [*ids[end:start], *self._mark]
            end = start + len(written)
        return marked + ids[end:]

    def _tokens(self, text: str) -> list[int]:
        return list(self.policy.tokenizer(text, add_special_tokens=False)["input_ids"])


def shown_pictures(trajectory: Trajectory) -> list[np.ndarray]:
    """The pixels of all images that the policy was shown so far, in the order of their placeholders."""
    seen = [trajectory.observation, *(turn.observation for turn in trajectory.turns if turn.observation is not None)]
    return [image.pixels for observation in seen for image in observation.images]


def as_rgb(pixels: np.ndarray) -> Picture.Image:
    """A picture ``[H, W]`` or ``[H, W, 3]`` uint8 as image processors are given it, whoever calls them."""
    return Picture.fromarray(widen(pixels)).convert("RGB")


def digest(pixels: np.ndarray) -> str:
    """Equal for equal pictures."""
    content = np.ascontiguousarray(pixels)
    return hashlib.blake2b(f"{content.shape} {content.dtype}".encode() + content.tobytes(), digest_size=16).hexdigest()


def _find(ids: Sequence[int], run: Sequence[int], start: int) -> int | None:
    """Where a run of ids begins, at `start` or behind it."""
    for place in range(start, len(ids) - len(run) + 1):
        if ids[place] == run[0] and list(ids[place : place + len(run)]) == list(run):
            return place
    return None
