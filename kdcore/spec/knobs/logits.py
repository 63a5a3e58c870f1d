"""Knobs of the methods that read labels and logits."""

from typing import Literal

from pydantic import Field

from kdcore.spec.knobs.base import Knobs


class HardTargetKnobs(Knobs):
    """Cross-entropy on the labels, mean over the batch."""

    method: Literal["hard_target"] = "hard_target"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Mass moved to the other classes.")


class KdKnobs(Knobs):
    """Soft-label distillation (Hinton, Vinyals & Dean 2015): T^2 KL(teacher || student)."""

    method: Literal["kd"] = "kd"
    temperature: float = Field(4.0, gt=0, le=1000, description="Softmax temperature T.")


class DkdKnobs(Knobs):
    """Decoupled KD (Zhao et al. 2022): target class and the other classes weighed apart."""

    method: Literal["dkd"] = "dkd"
    temperature: float = Field(4.0, gt=0, le=1000, description="Softmax temperature T.")
    alpha: float = Field(1.0, ge=0, description="Weight of the target-class part.")
    beta: float = Field(2.0, ge=0, description="Weight of the part among the other classes.")


class DistKnobs(Knobs):
    """DIST (Huang et al. 2022): keep the correlations between and within classes."""

    method: Literal["dist"] = "dist"
    temperature: float = Field(1.0, gt=0, le=1000, description="Softmax temperature T.")
    beta: float = Field(2.0, ge=0, description="Weight of the relations between classes.")
    gamma: float = Field(2.0, ge=0, description="Weight of the relations within a class.")


class StandardizedKdKnobs(Knobs):
    """KD on standardized logits (Sun et al. 2024): z-scores in place of raw logits."""

    method: Literal["standardized_kd"] = "standardized_kd"
    weight: float = Field(9.0, ge=0, description="Weight of this loss term.")
    temperature: float = Field(2.0, gt=0, le=1000, description="Softmax temperature T.")
