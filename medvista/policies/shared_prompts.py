"""Rows that begin alike as one sequence in which what they share stands once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from medvista.policies.families import Family, Image
from medvista.policies.image_features import image_name
from medvista.policies.shared_prompt_mask import SharedPromptMask


class Prompt(NamedTuple):
    """What a row begins with, up to the first token that carries loss."""

    number: int  # the same for rows that begin with the same tokens and images; in order of first appearance
    tokens: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedRows:
    """Each prompt once, behind it what follows in each row that begins with it: a sequence of `L` tokens.

    With prompts ``P``, ``Q`` and rows ``P A``, ``Q B``, ``P C``: ``P A C Q B``.
    """

    source: Tensor  # [L], where each token stands in the flattened rows
    place: Tensor  # [N, T], where each token of the rows stands in the sequence; 0 for padding
    images: list[Image]  # in the order of their placeholders
    mask: SharedPromptMask

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.source.device


def find_prompts(
    token_ids: Tensor,
    attention_mask: Tensor,
    loss_mask: Tensor,
    images: Sequence[Sequence[Image]],
    family: Family,
) -> list[Prompt]:
    """The prompt of each row; one without loss is nothing but prompt.

    Args:
        token_ids: ``[N, T]``, right-padded.
        attention_mask: ``[N, T]``, 1 on real tokens.
        loss_mask: ``[N, T]`` bool.
        images: of each row.
        family: says how many tokens an image takes.
    """
    lengths = attention_mask.sum(dim=1)
    ends = torch.where(loss_mask.any(dim=1), loss_mask.int().argmax(dim=1), lengths).clamp_min(1).tolist()
    names: dict[int, tuple[bytes, int]] = {}
    numbers: dict[tuple[bytes, tuple[bytes, ...]], int] = {}
    found = []
    for ids, end, shown in zip(token_ids.cpu(), ends, images, strict=True):
        left, in_prompt = int((ids[:end] == family.image_token_id).sum()), []
        for image in shown:
            if left <= 0:
                break
            if id(image) not in names:
                names[id(image)] = image_name(image), family.placeholders(image).count(family.image_token)
            name, tokens = names[id(image)]
            in_prompt.append(name)
            left -= tokens
        key = ids[:end].numpy().tobytes(), tuple(in_prompt)
        found.append(Prompt(numbers.setdefault(key, len(numbers)), end, len(in_prompt)))
    return found


def pack(
    lengths: Sequence[int],
    prompts: Sequence[Prompt],
    images: Sequence[Sequence[Image]],
    width: int,
    device: torch.device,
) -> PackedRows:
    """Packs rows.

    Args:
        lengths: tokens of each row.
        prompts: of each row.
        images: of each row.
        width: columns of the rows.
        device: of the rows.
    """
    source: list[int] = []
    shown: list[Image] = []
    place = torch.zeros(len(lengths), width, dtype=torch.long)
    of_prompts: dict[int, range] = {}
    of_rows = [range(0)] * len(lengths)
    for row in sorted(range(len(lengths)), key=lambda row: prompts[row].number):
        number, tokens, seen = prompts[row]
        if number not in of_prompts:
            of_prompts[number] = range(len(source), len(source) + tokens)
            source += range(row * width, row * width + tokens)
            shown += images[row][:seen]
        of_rows[row] = range(len(source), len(source) + lengths[row] - tokens)
        source += range(row * width + tokens, row * width + lengths[row])
        shown += images[row][seen:]
        place[row, : lengths[row]] = torch.tensor([*of_prompts[number], *of_rows[row]])
    index = {number: position for position, number in enumerate(of_prompts)}
    return PackedRows(
        source=torch.tensor(source, device=device),
        place=place.to(device),
        images=shown,
        mask=SharedPromptMask.of(
            list(of_prompts.values()), of_rows, [index[prompt.number] for prompt in prompts], device
        ),
    )
