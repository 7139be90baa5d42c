"""Can the kind of a phantom's nodule be read without a tool? A supervised probe says.

The same small network is trained three times to name the kind, on three views of the same phantoms:

* ``overview``: the whole slice at 64 pixels, exactly as the policy first sees it;
* ``overview_at_nodule``: the 9 x 9 overview pixels around the nodule, a harder test, since it is told where to look;
* ``native_crop``: the 64 x 64 source pixels around the nodule, which is what a well-placed zoom shows.

It learns on phantoms of the train split and is scored once on those of the validation split; nothing is chosen on
either. Where the overview stays at chance and the crop does not, it is the tool that makes the difference; what the
harder test finds above chance is the trace that is left. Run it after every change of `medvista.data.phantoms` or
`medvista.imaging.fit`, in about eight minutes of one core; `docs/phantoms.md` has what it said:

    python -m benchmarks.probe
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from medvista.data.phantom_vqa import CHANCE, SPLIT_OFFSET
from medvista.data.phantoms import KINDS, SIZE, Phantom, draw_phantom
from medvista.functional.statistics import Interval, wilson_interval
from medvista.imaging import crop, fit
from medvista.types import Split

VIEW_SIZE = 64  # pixels; what the nano policy is shown
REACH = 4  # overview pixels on each side of the one that holds the nodule's centre
BATCH = 128
LEARNING_RATE = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How often the probe named the right kind on held-out phantoms."""

    correct: int
    n: int

    @property
    def accuracy(self) -> float:
        """Share of right names."""
        return self.correct / self.n

    @property
    def ci95(self) -> Interval:
        """Wilson's interval: every phantom is another image, so trials are independent."""
        return wilson_interval(self.correct, self.n)


# ------------------------------------------------------------------------------------------------------------ the views


def overview(phantom: Phantom) -> np.ndarray:
    """The whole slice as the policy sees it, ``[64, 64]`` uint8."""
    return fit(phantom.image, VIEW_SIZE).pixels


def overview_at_nodule(phantom: Phantom) -> np.ndarray:
    """The overview pixels around the nodule, ``[9, 9]`` uint8."""
    column, row = (int(side * VIEW_SIZE / SIZE) for side in phantom.nodules[0].centre)
    return overview(phantom)[row - REACH : row + REACH + 1, column - REACH : column + REACH + 1]


def native_crop(phantom: Phantom) -> np.ndarray:
    """The source pixels around the nodule, ``[64, 64]`` uint8."""
    x, y = (int(side) - VIEW_SIZE // 2 for side in phantom.nodules[0].centre)
    return fit(crop(phantom.image, (x, y, x + VIEW_SIZE, y + VIEW_SIZE)), VIEW_SIZE).pixels


VIEWS: dict[str, Callable[[Phantom], np.ndarray]] = {
    view.__name__: view for view in (overview, overview_at_nodule, native_crop)
}
Labelled: TypeAlias = tuple[dict[str, Tensor], Tensor]  # each view [N, 1, S, S] uint8, kinds [N]


def labelled_views(split: Split, images: int) -> Labelled:
    """Every view of the first `images` phantoms of a split, and the kinds of their nodules."""
    views: dict[str, list[np.ndarray]] = {name: [] for name in VIEWS}
    kinds = []
    for index in range(images):
        phantom = draw_phantom(SPLIT_OFFSET[split] + index)
        kinds.append(KINDS.index(phantom.nodules[0].kind))
        for name, view in VIEWS.items():
            views[name].append(view(phantom))
    return {name: torch.from_numpy(np.stack(shown))[:, None] for name, shown in views.items()}, torch.tensor(kinds)


# ------------------------------------------------------------------------------------------------------------ the probe


def network(side: int) -> nn.Module:
    """Three convolutions and a global maximum, since the nodule may be anywhere; a view of 9 pixels is not pooled."""
    layers: list[nn.Module] = []
    channels = 1
    for width in (32, 64, 128):
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
        if side >= 16:
            layers.append(nn.MaxPool2d(2))  # before the normalisation, which then costs a quarter
            side //= 2
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    probe = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, len(KINDS)))
    # Channels last are 1.7 times as fast on a CPU.
    return probe.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def train_probe(views: Tensor, kinds: Tensor, *, epochs: int, seed: int) -> nn.Module:
    """A probe fitted to labelled views, ``[N, 1, S, S]`` uint8: AdamW on one cycle of the learning rate."""
    torch.manual_seed(seed)
    probe = network(views.shape[-1])
    batch = min(BATCH, len(views))
    steps = epochs * (len(views) // batch)
    optimizer = torch.optim.AdamW(probe.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(views)).split(batch):
            if len(chosen) < batch:
                continue  # a batch of a few views has no statistics to normalise by
            loss = nn.functional.cross_entropy(probe(_scaled(views[chosen])), kinds[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return probe.eval()


@torch.no_grad()
def evaluate(probe: nn.Module, views: Tensor, kinds: Tensor) -> Score:
    """The probe's score on views it has not seen."""
    named = torch.cat([probe(_scaled(some)).argmax(dim=1) for some in views.split(BATCH)])
    return Score(correct=int((named == kinds).sum()), n=len(kinds))


def _scaled(views: Tensor) -> Tensor:
    """Grey values 0-255 as numbers around 0."""
    return (views / 255 - 0.45) * 4


# --------------------------------------------------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score the probe on every view; the last line printed is JSON."""
    options = _parser().parse_args(arguments)
    train_views, train_kinds = labelled_views("train", options.train_images)
    test_views, test_kinds = labelled_views("validation", options.test_images)
    chance = CHANCE["attribute"]
    print(f"{'view':<20}{'accuracy':>10}   {'95 % interval':<16}   (chance {chance:.3f}, n {len(test_kinds)})")
    found: dict[str, object] = {"chance": chance}
    for name in VIEWS:
        probe = train_probe(train_views[name], train_kinds, epochs=options.epochs, seed=options.seed)
        score = evaluate(probe, test_views[name], test_kinds)
        low, high = score.ci95
        print(f"{name:<20}{score.accuracy:>10.3f}   {low:.3f} .. {high:.3f}", flush=True)
        found[name] = {"accuracy": score.accuracy, "ci95": [low, high], "n": score.n}
    print(json.dumps(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.probe", description="Can a nodule's kind be read without a tool?"
    )
    parser.add_argument("--train-images", type=_positive, default=12_000, help="phantoms to learn from (%(default)s)")
    parser.add_argument("--test-images", type=_positive, default=3_000, help="held-out phantoms (%(default)s)")
    parser.add_argument("--epochs", type=_positive, default=6, help="passes over the train phantoms (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the probe's weights and batches (%(default)s)")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"has to be at least 1, got {number}")
    return number


if __name__ == "__main__":
    main()
