"""Rebuilds the nano base model that ships with the package: ``python -m medvista.app.training.shipping``.

It trains the base model of the main job (`pretrain.rebuild=true`), measures it on held-out views, and writes model,
curves, recipe and card into ``medvista/assets/nano``.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from medvista.app.config.command_line import load_config
from medvista.app.players import Players
from medvista.app.questions import Questions
from medvista.app.quiet_libraries import quiet_libraries
from medvista.app.training.base_model import SHIPPED, BaseModel
from medvista.app.training.pretraining import caption_figures
from medvista.policies import VLMPolicy

_CARD = """\
# The nano base model

The policy that every arm of the main job starts from: a Qwen3-VL of {parameters:,} parameters, built from a config and
trained by medvista on procedural phantoms alone (drawn CT-like slices: no patient, no medical image, no other text).
Its vision tower learned a label for each visual token; then all of it learned to caption single views. It has met no
question, no episode and no tool. It is for research on training, and of no use on real images.

- Recipe `{recipe}`: the hash of its size, pre-training, vocabulary and the phantoms' renderer. The main job uses this
  model only where its configuration has that recipe; any other (`data.seed`, view, vocabulary) trains one of its own.
- Held-out views: {right:.1%} of captions right, {nll:.3f} nats per caption token.
- Rebuild: `python -m experiments.run pretrain.rebuild=true` trains the same recipe for one run, beside the shipped
  model; `python -m medvista.app.training.shipping` trains it and writes this folder.
- Trained with torch {torch}, transformers {transformers}. Licence: Apache-2.0, as the package.
"""


def ship(trained: Path, players: Players, recipe: str, into: Path = SHIPPED) -> None:
    """Copies a trained base model into the package, with its recipe, figures and card.

    Args:
        trained: its folder.
        players: of the configuration that it was trained with.
        recipe: its hash.
        into: the package's folder of it.
    """
    policy = VLMPolicy.from_pretrained(trained)
    figures = caption_figures(players, policy)
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(trained, into)
    for path in into.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (into / "recipe.json").write_text(json.dumps({"recipe": recipe, "figures": figures}, indent=1) + "\n")
    card = _CARD.format(
        parameters=sum(parameter.numel() for parameter in policy.parameters()),
        recipe=recipe,
        right=figures["captions_right"],
        nll=figures["caption_nll"],
        torch=importlib.metadata.version("torch"),
        transformers=importlib.metadata.version("transformers"),
    )
    (into / "README.md").write_text(card)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: trains and ships the base of the main job; overrides are allowed."""
    overrides = sys.argv[1:] if argv is None else list(argv)
    config = load_config(["pretrain.rebuild=true", *overrides])
    quiet_libraries(config.trainer.threads)
    players = Players(config, Questions(config))
    base = BaseModel(players)
    ship(Path(base.path), players, base.recipe)
    print(SHIPPED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
