"""Knobs of the methods that read labels and logits."""

from typing import ClassVar, Literal

from pydantic import Field

from kdcore.spec.knobs.base import Knobs


class HardTargetKnobs(Knobs):
    """Cross-entropy on the labels, mean over the batch."""

    needs_teacher: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = True
    method: Literal["hard_target"] = "hard_target"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Mass moved to the other classes.")


class KdKnobs(Knobs):
    """Soft-label distillation (Hinton, Vinyals & Dean 2015): T^2 KL(teacher || student)."""

    needs_same_classes: ClassVar[bool] = True
    method: Literal["kd"] = "kd"
    temperature: float = Field(4.0, gt=0, le=1000, description="Softmax temperature T.")


class DkdKnobs(Knobs):
    """Decoupled KD (Zhao et al. 2022): target class and the other classes weighed apart."""

    needs_labels: ClassVar[bool] = True
    needs_one_label: ClassVar[bool] = True
    needs_same_classes: ClassVar[bool] = True
    least_classes: ClassVar[int] = 3  # with two, there is only one class besides the label's
    method: Literal["dkd"] = "dkd"
    temperature: float = Field(4.0, gt=0, le=1000, description="Softmax temperature T.")
    alpha: float = Field(1.0, ge=0, description="Weight of the target-class part.")
    beta: float = Field(2.0, ge=0, description="Weight of the part among the other classes.")


class DistKnobs(Knobs):
    """DIST (Huang et al. 2022): keep the correlations between and within classes."""

    needs_same_classes: ClassVar[bool] = True
    least_batch: ClassVar[int] = 2
    method: Literal["dist"] = "dist"
    temperature: float = Field(1.0, gt=0, le=1000, description="Softmax temperature T.")
    beta: float = Field(2.0, ge=0, description="Weight of the relations between classes.")
    gamma: float = Field(2.0, ge=0, description="Weight of the relations within a class.")


class StandardizedKdKnobs(Knobs):
    """KD on standardized logits (Sun et al. 2024): z-scores in place of raw logits."""

    needs_same_classes: ClassVar[bool] = True
    method: Literal["standardized_kd"] = "standardized_kd"
    weight: float = Field(9.0, ge=0, description="Weight of this loss term.")
    temperature: float = Field(2.0, gt=0, le=1000, description="Softmax temperature T.")
