"""Each of the processes finds other damaged images; all leave out the same questions, and end together."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch.distributed as distributed
from PIL import Image

from medvista.data.bad_data import BadData, ImageCheck
from medvista.errors import UserError
from medvista.ranks import rank, wait_for_all
from medvista.types import VQASample


def main(folder: Path, world: int) -> None:
    distributed.init_process_group("gloo", rank=int(os.environ["LOCAL_RANK"]), world_size=world)
    if rank() == 0:
        for number in range(6):
            Image.new("L", (8, 8), number).save(folder / f"{number}.png")
        for number in (1, 4):
            (folder / f"{number}.png").write_bytes(b"\x89PNG")
    wait_for_all()
    samples = [
        VQASample(
            id=str(number),
            benchmark="b",
            split="train",
            question="?",
            answers=("a",),
            images=(folder / f"{number}.png",),
            group_id="g",
        )
        for number in range(6)
    ]
    check = ImageCheck(BadData("the questions", 0.4, total=6, record=folder / "bad_data.jsonl"))
    left_out = sorted(check.unreadable(samples))
    stopped = ""
    try:
        ImageCheck(BadData("the questions", 0.2, total=6)).unreadable(samples)
    except UserError as error:
        stopped = str(error)
    (folder / f"rank-{rank()}.json").write_text(json.dumps([left_out, stopped]))
    wait_for_all()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
