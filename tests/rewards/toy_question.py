"""The question that the tests of rewards ask."""

from __future__ import annotations

import numpy as np

from medvista.types import MedicalImage, VQASample

SAMPLE = VQASample(
    id="1",
    benchmark="toy",
    split="train",
    question="Which side?",
    answers=("left lung",),
    images=(MedicalImage(pixels=np.zeros((4, 4), dtype=np.uint8)),),
    group_id="1",
)
