"""The hidden states that tokens were drawn from: each row by itself, or prompts that rows share computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from medvista.notices import notice
from medvista.policies.evaluation_mode import evaluation_mode
from medvista.policies.families import Image
from medvista.policies.image_features import shapes
from medvista.policies.packing import pack_rows
from medvista.policies.shared_prompts import Prompt, find_prompts, pack

if TYPE_CHECKING:
    from medvista.policies.vlm_policy import VLMPolicy

_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}  # of the largest state
_ROUGH_TOLERANCE = 0.05  # where states have 16 bits
_EACH_BY_ITSELF = "a prompt that rows share is computed for each of them"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Right-padded streams that pass through the model together."""

    ids: Tensor  # [N, T]
    mask: Tensor  # [N, T], 1 on real tokens
    images: Sequence[Sequence[Image]]  # of each row, in the order of their placeholders

    @classmethod
    def chosen(cls, rows: Tensor, token_ids: Tensor, attention_mask: Tensor, images: Sequence[Sequence[Image]]) -> Rows:
        """Some of the rows ``[N, T]``, cut to the longest of them."""
        longest = int(attention_mask[rows].sum(dim=1).max())
        return cls(
            ids=token_ids[rows, :longest],
            mask=attention_mask[rows, :longest],
            images=[images[row] for row in rows.tolist()],
        )

    @property
    def shown(self) -> list[Image]:
        """All images, row after row."""
        return [image for images in self.images for image in images]


def states_before(policy: VLMPolicy, rows: Rows, row: Tensor, column: Tensor) -> Tensor:
    """``[K, D]``: what the tokens at ``(row, column)`` were drawn from."""
    positions = policy.position_ids(rows.ids, rows.mask, shapes(rows.shown, rows.ids.device))
    kwargs = {**policy.family.beside(rows.ids), **policy.features.inputs(rows.shown)}
    body = policy.body(input_ids=rows.ids, attention_mask=rows.mask, position_ids=positions, use_cache=False, **kwargs)
    states: Tensor = body[0][row, column - 1]
    return states


def states_behind_shared_prompts(
    policy: VLMPolicy, rows: Rows, prompts: Sequence[Prompt], row: Tensor, column: Tensor
) -> Tensor:
    """What `states_before` gives, of rows as one sequence in which each prompt stands once.

    One pass through the model, as without: where weights are gathered for each, all processes still take as many.
    """
    width = rows.ids.shape[1]
    packed = pack(rows.mask.sum(dim=1).tolist(), prompts, rows.images, width, rows.ids.device)
    positions = policy.position_ids(rows.ids, rows.mask, shapes(rows.shown, rows.ids.device))
    ids = rows.ids.flatten()[packed.source][None]
    kwargs = {**policy.family.beside(ids), **policy.features.inputs(packed.images)}
    body = policy.body(
        input_ids=ids,
        attention_mask=packed.mask,
        position_ids=positions.flatten(-2)[..., packed.source].unsqueeze(-2),
        use_cache=False,
        **kwargs,
    )
    states: Tensor = body[0][0].index_select(0, packed.place[row, column - 1])
    return states


def states_of_packed_rows(policy: VLMPolicy, rows: Rows, row: Tensor, column: Tensor) -> Tensor:
    """What `states_before` gives, of rows one behind the other in one, see `medvista.policies.packing`."""
    positions = policy.position_ids(rows.ids, rows.mask, shapes(rows.shown, rows.ids.device))
    packed = pack_rows(policy.family, rows.ids, rows.mask, positions)
    body = policy.body(
        input_ids=packed.token_ids,
        attention_mask=packed.visible,
        position_ids=packed.position_ids,
        use_cache=False,
        **policy.family.beside(packed.token_ids),
        **policy.features.inputs(rows.shown),
    )
    states: Tensor = body[0][0].index_select(0, packed.column[row, column - 1])
    return states


def can_share_prompts(policy: VLMPolicy) -> bool:
    """Whether shared prompts give what each row by itself gives; where they do not, that is said.

    Held against each other on a few tokens and pictures. Layers that look back a window only would agree on so few.
    """
    name, family = type(policy.base_model).__name__, policy.family
    kind = policy.base_model.config.get_text_config()._attn_implementation
    if family.one_row_per_cache or family.window is not None or kind != "sdpa":
        notice(f"{_EACH_BY_ITSELF}, since the model's attention does not look at everything before a token", name)
        return False
    rows, loss = _trial(policy)
    prompts = find_prompts(rows.ids, rows.mask, loss, rows.images, family)
    row, column = loss.nonzero(as_tuple=True)
    with torch.no_grad(), evaluation_mode(policy.base_model):
        expected = states_before(policy, rows, row, column)
        found = states_behind_shared_prompts(policy, rows, prompts, row, column)
    gap = (found - expected).abs().max().item() / expected.abs().max().item()
    rough = torch.is_autocast_enabled(expected.device.type)
    if gap <= (_ROUGH_TOLERANCE if rough else _TOLERANCE.get(expected.dtype, _ROUGH_TOLERANCE)):
        return True
    notice(f"{_EACH_BY_ITSELF}, since sharing it changes the model's states", f"{name}, by {gap:.2g}")
    return False


def _trial(policy: VLMPolicy) -> tuple[Rows, Tensor]:
    """Two rows with one prompt, in which there is a picture, and another in one of them; where they carry loss."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    images = policy.family.see(list(noise))
    shown = [
        policy.tokenizer(policy.family.placeholders(image), add_special_tokens=False).input_ids for image in images
    ]
    words = policy.allowed_ids.nonzero().flatten()[:24].tolist()
    prompt = [*words[:4], *shown[0], *words[4:8]]
    streams = [[*prompt, *words[8:12], *shown[1], *words[12:20]], [*prompt, *words[20:24]]]
    ids = nn.utils.rnn.pad_sequence([torch.tensor(stream) for stream in streams], batch_first=True)
    mask = nn.utils.rnn.pad_sequence([torch.ones(len(stream), dtype=torch.long) for stream in streams], True)
    loss = mask.bool()
    loss[:, : len(prompt)] = False
    device = policy.device
    return Rows(ids=ids.to(device), mask=mask.to(device), images=[images, images[:1]]), loss.to(device)
