"""medvista: vision-language models that think with medical images.

Importing the package registers the environment ``medvista/MedicalVQA-v0`` and nothing heavier.
"""

from gymnasium.envs.registration import register

__version__ = "0.1.0"

register(id="medvista/MedicalVQA-v0", entry_point="medvista.envs.medical_vqa:MedicalVQAEnv")
