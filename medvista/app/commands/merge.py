"""Merge adapters into the model they belong to: ``python -m experiments.merge ADAPTERS FOLDER [dtype=bfloat16]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from medvista.errors import UserError
from medvista.policies import Loading, VLMPolicy, merge_adapters, read_base
from medvista.settings import WeightsDtype

_USAGE = """\
usage: python -m experiments.merge ADAPTERS FOLDER [dtype=float32]

Adds adapters to the weights of their base model, which their adapter_config.json names, and writes an ordinary model in
Hugging Face format that needs neither.

  ADAPTERS    folder or hub id of PEFT adapters, such as runs/nano/checkpoints/sft_rl/policy
  FOLDER      folder to write, new or empty
  dtype       what the weights are merged and written in: float32, bfloat16, or auto, as the base model stores them
"""


def merge(adapters: str, folder: Path, dtype: WeightsDtype = "float32") -> None:
    """Writes the model that adapters make of their base model.

    Raises:
        UserError: there are no adapters, or the folder is in use.
    """
    if read_base(adapters) is None:
        raise UserError(f"{adapters} holds no adapters (no adapter_config.json): there is nothing to merge.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is in use: give a new folder.")
    policy = VLMPolicy.from_pretrained(adapters, Loading(dtype=dtype, trains=False))
    merge_adapters(policy.model)
    policy.save_pretrained(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 2 after a user's mistake."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if {"--help", "-h"} & set(arguments):
        print(_USAGE)
        return 0
    places = [argument for argument in arguments if "=" not in argument]
    settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    dtype = settings.pop("dtype", "float32")
    try:
        if len(places) != 2 or settings or dtype not in get_args(WeightsDtype):
            raise UserError(f"two folders are needed, and dtype may be {', '.join(get_args(WeightsDtype))}.")
        merge(places[0], Path(places[1]), dtype)  # type: ignore[arg-type]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(places[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
