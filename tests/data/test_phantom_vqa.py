"""PhantomVQA: splits that share nothing, balanced answers, and no way to guess them from what is beside the point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medvista.data.phantom_vqa import CHANCE, FAMILIES, SPLIT_OFFSET, phantom_samples
from medvista.data.phantoms import KINDS, MATERIALS, Phantom, draw_phantom
from medvista.errors import UserError
from medvista.types import MedicalImage, Split, VQASample

N = 300


@pytest.fixture(scope="module")
def samples() -> dict[str, list[VQASample]]:
    """Questions of each family on the first images of the training split."""
    drawn = phantom_samples("train", images=N, families=FAMILIES)
    return {family: [sample for sample in drawn if sample.metadata["family"] == family] for family in FAMILIES}


def truth(sample: VQASample) -> Phantom:
    """The phantom of a sample, drawn again from the seed in its name."""
    seed = int(sample.id.split("-")[1])
    return draw_phantom(seed, nodules=2 if sample.metadata["family"] == "comparison" else 1)


def within_chance(hits: int, n: int, chance: float) -> bool:
    return bool(stats.binomtest(hits, n, chance).pvalue > 0.001)


def pixels(sample: VQASample) -> np.ndarray:
    image = sample.images[0]
    assert isinstance(image, MedicalImage)
    return image.pixels


# -------------------------------------------------------------------------------------------------------------- splits


def test_no_image_is_in_two_splits_or_two_seeds() -> None:
    splits: Sequence[Split] = ("train", "validation", "test")
    groups = [phantom_samples(split, images=5, seed=seed) for split in splits for seed in (0, 1)]
    images = [{pixels(sample).tobytes() for sample in group} for group in groups]
    assert all(len(group) == 5 for group in images)
    assert len(set.union(*images)) == 5 * len(groups)
    assert len({sample.group_id for group in groups for sample in group}) == 5 * len(groups)


def test_the_largest_sets_stay_within_their_split() -> None:
    starts = sorted(SPLIT_OFFSET.values())
    assert all(later - earlier >= 1000 * 100_000 for earlier, later in pairwise(starts))
    for images, seed in ((100_001, 0), (1, 1000), (1, -1)):
        with pytest.raises(UserError, match="would let splits or seeds share images"):
            phantom_samples("train", images=images, seed=seed)


def test_questions_on_one_image_share_its_pixels_and_its_cluster(samples: dict[str, list[VQASample]]) -> None:
    for one, other in zip(samples["attribute"], samples["yes_no"], strict=True):
        assert pixels(one) is pixels(other)
        assert one.group_id == other.group_id
    assert samples["comparison"][0].group_id != samples["attribute"][0].group_id  # two nodules: another image


def test_samples_are_the_same_on_every_call_and_do_not_depend_on_their_number() -> None:
    few, more = (phantom_samples("validation", images=n) for n in (2, 4))
    assert [(s.id, s.question, s.answers) for s in few] == [(s.id, s.question, s.answers) for s in more[: len(few)]]


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(UserError, match="no 'colour'; use some of attribute, yes_no"):
        phantom_samples("train", images=1, families=("colour",))


# ------------------------------------------------------------------------------------------------------------- answers


def test_answers_agree_with_the_truth(samples: dict[str, list[VQASample]]) -> None:
    for family, asked in samples.items():
        for sample in asked[:60]:
            phantom = truth(sample)
            kinds = [nodule.kind for nodule in phantom.nodules]
            expected = {
                "attribute": kinds[0],
                "yes_no": "yes" if sample.question == f"Is the nodule {kinds[0]}?" else "no",
                "side": f"{phantom.nodules[0].side} lung",
                "density": phantom.material,
                "comparison": "yes" if len(set(kinds)) == 1 else "no",
            }[family]
            assert sample.answers == (expected,), sample.id


def test_the_evidence_is_annotated_where_a_zoom_is_needed_and_nowhere_else(samples: dict[str, list[VQASample]]) -> None:
    for family, asked in samples.items():
        for sample in asked[:20]:
            nodules = truth(sample).nodules if family in ("attribute", "yes_no", "comparison") else ()
            assert [region.box for region in sample.regions] == [nodule.box for nodule in nodules]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_single_answer_beats_chance(samples: dict[str, list[VQASample]], family: str) -> None:
    answers = Counter(sample.answers[0] for sample in samples[family])
    assert len(answers) == round(1 / CHANCE[family])
    assert all(within_chance(count, N, CHANCE[family]) for count in answers.values()), answers


def test_yes_and_no_are_balanced_for_every_kind_asked_about(samples: dict[str, list[VQASample]]) -> None:
    by_question: dict[str, list[bool]] = {f"Is the nodule {kind}?": [] for kind in KINDS}
    for sample in samples["yes_no"]:
        by_question[sample.question].append(sample.answers[0] == "yes")
    assert all(within_chance(sum(yes), len(yes), 0.5) for yes in by_question.values())


def test_two_nodules_are_of_every_kind_whether_they_agree_or_not(samples: dict[str, list[VQASample]]) -> None:
    for answer in ("yes", "no"):
        asked = [sample for sample in samples["comparison"] if sample.answers[0] == answer]
        kinds = Counter(sample.regions[0].label for sample in asked)
        assert all(within_chance(kinds[kind], len(asked), 1 / len(KINDS)) for kind in KINDS), kinds


# ------------------------------------------------------------------------------------------------ what must not be told


def surroundings(sample: VQASample) -> list[float]:
    """All that is visible besides what the nodule is: body, lungs, heart, mass, and where the nodule lies."""
    body, phantom = pixels(sample) > -500, truth(sample)
    (nodule,) = phantom.nodules
    return [
        float(np.ptp(body[228].nonzero()[0])),
        float(np.ptp(body[:, 224].nonzero()[0])),
        float((pixels(sample)[:, :224] < -700).sum()),
        float((pixels(sample)[:, 224:] < -700).sum()),
        *phantom.mass_centre,
        float(MATERIALS.index(phantom.material)),
        *nodule.centre,
        float(nodule.side == "left"),
    ]


@pytest.mark.parametrize("family", ["attribute", "yes_no", "side", "density"])
def test_what_is_beside_the_point_does_not_predict_the_answer(samples: dict[str, list[VQASample]], family: str) -> None:
    features = np.array([surroundings(sample) for sample in samples[family]])
    features = np.concatenate([features, features**2], axis=1)
    if family == "side":  # where the nodule lies, and the lung it takes room from, are the point
        features = np.delete(features, [2, 3, 7, 8, 9, 12, 13, 17, 18, 19], axis=1)
    if family == "density":
        features = np.delete(features, [6, 16], axis=1)
    answers = [sample.answers[0] for sample in samples[family]]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    accuracy = cross_val_score(model, features, answers, cv=10).mean()
    # In bound of chance, with the room that the commonest answer in this draw takes up.
    assert accuracy < max(CHANCE[family], max(Counter(answers).values()) / N) + 3 * np.sqrt(0.25 / N)


def test_the_kind_asked_about_says_nothing_about_the_image(samples: dict[str, list[VQASample]]) -> None:
    features = np.array([surroundings(sample) for sample in samples["yes_no"]])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    accuracy = cross_val_score(model, features, [sample.question for sample in samples["yes_no"]], cv=10).mean()
    assert accuracy < 1 / len(KINDS) + 3 * np.sqrt(0.25 / N)
