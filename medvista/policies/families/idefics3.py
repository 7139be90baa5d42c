"""Idefics3 and SmolVLM: a picture is cut into rows and columns of tiles, and shown whole behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medvista.policies.families.family import Family, Image

_COLUMNS = 4  # of a square, and as many rows, as published checkpoints of Idefics3 and SmolVLM are configured
_ROW_AND_COLUMN = re.compile(r"<row_\d+_col_\d+>")


class Idefics3(Family):
    """Tiles of one size, each named by its row and column in the text."""

    model_types = ("idefics3", "smolvlm")
    tensors = frozenset({"pixel_values", "pixel_attention_mask", "rows", "cols"})
    counts = frozenset({"rows", "cols"})
    tower = "vision_model"
    visual_tokens = ("<image>", "<fake_token_around_image>", "<global-img>", "<video>")

    @property
    def options(self) -> Mapping[str, Any]:
        """To say what rows and columns it made."""
        return {"return_row_col_info": True}

    def visual_ids(self) -> list[int]:
        """Also the names of rows and columns."""
        vocabulary = self.tokenizer.get_vocab()
        return [*super().visual_ids(), *(i for token, i in vocabulary.items() if _ROW_AND_COLUMN.fullmatch(token))]

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """Tiles ``[tiles, 3, H, W]``, their mask ``[tiles, H, W]``, and rows and columns ``[1]`` of each picture."""
        rows, columns = (torch.as_tensor(batch[name]).flatten() for name in ("rows", "cols"))
        tiles = (rows * columns + 1).tolist()
        pixels, masks = (torch.split(batch[name][0], tiles) for name in ("pixel_values", "pixel_attention_mask"))
        return [
            {"pixel_values": p, "pixel_attention_mask": m, "rows": r[None], "cols": c[None]}
            for p, m, r, c in zip(pixels, masks, rows, columns, strict=True)
        ]

    def collate(self, images: Sequence[Image], device: torch.device | None = None) -> dict[str, Tensor]:
        """All tiles as those of one row of a batch, which saves the padding of rows with fewer."""
        return {name: tensor[None] for name, tensor in super().collate(images, device).items()}

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """Of rows and columns of tiles and of the whole: processors enlarge a picture of any size to as many."""
        return _tokens_of_tile(config) * (_COLUMNS**2 + 1)

    def placeholders(self, image: Image) -> str:
        """Each tile behind its row and column, a line per row, then the whole picture."""
        around, one = "<fake_token_around_image>", self.image_token * _tokens_of_tile(self.config)
        rows, columns = int(image["rows"]), int(image["cols"])
        lines = [
            "".join(f"{around}<row_{row + 1}_col_{column + 1}>{one}" for column in range(columns)) + "\n"
            for row in range(rows)
        ]
        return "".join(lines) + ("\n" if rows else "") + f"{around}<global-img>{one}{around}"


def _tokens_of_tile(config: Any) -> int:
    vision = config.vision_config
    return int((vision.image_size // vision.patch_size) ** 2 / config.scale_factor**2)
