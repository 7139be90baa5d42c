"""Which test images the training sets in use have, and the questions without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medvista.app.questions import Questions
from medvista.data.leakage import LeakageReport, measure_leakage
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.errors import UserError
from medvista.types import VQASample


def find_leakage(questions: Questions) -> LeakageReport:
    """Compares every test set of the run with every training set in use (train and validation splits).

    Phantoms are left out: their splits are drawn from different seeds, and all of them look alike. Fingerprints of
    files are kept in ``cache_dir``.
    """
    test = {name: samples for name, samples in questions.test.items() if name != PHANTOM}
    if not test:
        return LeakageReport(overlaps=())
    train = {name: samples for name, samples in questions.seen_in_training.items() if name != PHANTOM and samples}
    return measure_leakage(train, test, cache=questions.config.cache_dir / "fingerprints.json")


def clean_subset(test: Mapping[str, Sequence[VQASample]], leakage: LeakageReport) -> dict[str, Sequence[VQASample]]:
    """The test questions about images that no training set in use has.

    Raises:
        UserError: none is left.
    """
    clean: dict[str, Sequence[VQASample]] = {name: leakage.clean(samples) for name, samples in test.items()}
    for name, samples in clean.items():
        if not samples:
            raise UserError(f"evaluation.clean_subset leaves no question of {name}: training has seen all its images.")
    return clean
