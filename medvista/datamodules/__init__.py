"""LightningDataModules: demonstrations and rollouts on the fly."""

from medvista.datamodules.rollout import RolloutDataModule
from medvista.datamodules.sft import SFTDataModule

__all__ = ["RolloutDataModule", "SFTDataModule"]
