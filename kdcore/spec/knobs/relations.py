"""Knobs of the methods that compare relations between the samples of a batch."""

from typing import ClassVar, Literal

from pydantic import Field

from kdcore.spec.knobs.base import MapKnobs

_WEIGHT = "Weight of this loss term."
_LEVELS = "Largest number of levels without taps, counted from the deepest."


class SpKnobs(MapKnobs):
    """Similarity preserving (Tung & Mori 2019): which samples look alike."""

    least_batch: ClassVar[int] = 2
    method: Literal["sp"] = "sp"
    weight: float = Field(3000.0, ge=0, description=_WEIGHT)
    levels: int = Field(1, ge=1, le=16, description=_LEVELS)


class PktKnobs(MapKnobs):
    """Probabilistic knowledge transfer (Passalis & Tefas 2018): which samples are neighbours."""

    least_batch: ClassVar[int] = 2
    method: Literal["pkt"] = "pkt"
    weight: float = Field(30_000.0, ge=0, description=_WEIGHT)
    levels: int = Field(1, ge=1, le=16, description=_LEVELS)


class CcKnobs(MapKnobs):
    """Correlation congruence (Peng et al. 2019): kernel correlations between samples.

    `gaussian`: the paper's kernel matrix; `adjacent`: the product of neighbours' differences, as a
    widely used re-implementation has it.
    """

    least_batch: ClassVar[int] = 2
    method: Literal["cc"] = "cc"
    weight: float = Field(100.0, ge=0, description=_WEIGHT)
    levels: int = Field(1, ge=1, le=16, description=_LEVELS)
    kernel: Literal["gaussian", "adjacent"] = Field("gaussian", description="What is compared.")
    gamma: float = Field(0.4, gt=0, description="Width of the Gaussian kernel.")
    embedding: int = Field(128, ge=1, le=4096, description="Width that both are projected to.")


class RkdKnobs(MapKnobs):
    """Relational KD (Park et al. 2019): distances and angles between samples."""

    least_batch: ClassVar[int] = 3
    method: Literal["rkd"] = "rkd"
    levels: int = Field(1, ge=1, le=16, description=_LEVELS)
    distance: float = Field(25.0, ge=0, description="Weight of the distances.")
    angle: float = Field(50.0, ge=0, description="Weight of the angles.")


class CrdKnobs(MapKnobs):
    """Contrastive representation distillation (Tian et al. 2020): tell samples apart together."""

    needs_one_label: ClassVar[bool] = True
    least_batch: ClassVar[int] = 2
    method: Literal["crd"] = "crd"
    weight: float = Field(0.8, ge=0, description=_WEIGHT)
    levels: int = Field(1, ge=1, le=1, description="The deepest level only.")
    embedding: int = Field(128, ge=1, le=4096, description="Width of the embedding.")
    negatives: int = Field(16_384, ge=1, le=1_000_000, description="Negatives per sample.")
    temperature: float = Field(
        0.07, ge=0.02, le=100, description="Softmax temperature of the contrast."
    )
    momentum: float = Field(0.5, ge=0, lt=1, description="Momentum of the memory of embeddings.")
