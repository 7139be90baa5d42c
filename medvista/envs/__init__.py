"""The Gymnasium environment and its picture."""

from medvista.envs.blank_images import BlankImages, blank_images
from medvista.envs.medical_vqa import MedicalVQAEnv, question_text
from medvista.envs.rendering import episode_picture
from medvista.envs.spaces import ObservationSpace, TextSpace

__all__ = [
    "BlankImages",
    "MedicalVQAEnv",
    "ObservationSpace",
    "TextSpace",
    "blank_images",
    "episode_picture",
    "question_text",
]
