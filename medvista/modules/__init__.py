"""LightningModules: each owns a policy and a loss."""

from medvista.modules.grpo import GRPOModule
from medvista.modules.sft import SFTModule
from medvista.modules.vision_pretraining import LabelledViews, VisionPretrainingModule
from medvista.settings import GRPOConfig, OptimiserConfig

__all__ = ["GRPOConfig", "GRPOModule", "LabelledViews", "OptimiserConfig", "SFTModule", "VisionPretrainingModule"]
