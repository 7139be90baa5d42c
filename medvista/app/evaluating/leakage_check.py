"""Which test images the training sets in use have, and the questions without them."""

from __future__ import annotations

from medvista.app.build import Parts
from medvista.data.leakage import LeakageReport, measure_leakage
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.errors import UserError


def find_leakage(parts: Parts) -> LeakageReport:
    """Compares every test set of the run with every training set in use (train and validation splits).

    Phantoms are left out: their splits are drawn from different seeds, and all of them look alike. Fingerprints of
    files are kept in ``cache_dir``.
    """
    test = {name: samples for name, samples in parts.test.items() if name != PHANTOM}
    if not test:
        return LeakageReport(overlaps=())
    train = {name: samples for name, samples in parts.seen_in_training.items() if name != PHANTOM and samples}
    return measure_leakage(train, test, cache=parts.config.cache_dir / "fingerprints.json")


def keep_clean(parts: Parts, leakage: LeakageReport) -> None:
    """Leaves the run only the test questions about images that no training set in use has.

    Raises:
        UserError: none is left.
    """
    clean = {name: leakage.clean(samples) for name, samples in parts.test.items()}
    for name, samples in clean.items():
        if not samples:
            raise UserError(f"evaluation.clean_subset leaves no question of {name}: training has seen all its images.")
    parts.test = clean
