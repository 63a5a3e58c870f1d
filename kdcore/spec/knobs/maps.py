"""Knobs of the methods that read feature maps."""

from typing import ClassVar, Literal

from pydantic import Field

from kdcore.spec.knobs.base import Knobs, MapKnobs, Tap

_WEIGHT = "Weight of this loss term."


class FitnetKnobs(Knobs):
    """FitNets hints (Romero et al. 2014): regress the teacher's hint from the guided layer."""

    method: Literal["fitnet"] = "fitnet"
    guided: Tap | None = Field(
        None, description="Student tap. Default: the last activation of the middle resolution."
    )
    hint: Tap | None = Field(
        None, description="Teacher tap. Default: the last activation of the middle resolution."
    )
    regressor_batch_norm: bool = Field(
        False,
        description="Add a batch norm after the regressor, which joint training with a large "
        "weight needs; the paper has none.",
    )


class AtKnobs(MapKnobs):
    """Attention transfer (Zagoruyko & Komodakis 2016): where the networks look."""

    method: Literal["at"] = "at"
    weight: float = Field(1000.0, ge=0, description=_WEIGHT)
    power: float = Field(2.0, gt=0, le=8, description="Exponent p of the activations.")


class FspKnobs(MapKnobs):
    """FSP, "A Gift from Knowledge Distillation" (Yim et al. 2017): how features flow."""

    needs_same_channels: ClassVar[bool] = True
    method: Literal["fsp"] = "fsp"
    weight: float = Field(50.0, ge=0, description=_WEIGHT)


class OverhaulKnobs(MapKnobs):
    """A comprehensive overhaul of feature distillation (Heo et al. 2019)."""

    method: Literal["overhaul"] = "overhaul"
    weight: float = Field(1e-3, ge=0, description=_WEIGHT)


class ReviewkdKnobs(MapKnobs):
    """Knowledge Review (Chen et al. 2021): deep student levels review the teacher's shallow ones.

    Published weights: 0.6 to 8 by pair, warm-up over 20 of 240 epochs for CIFAR, none for ImageNet.
    """

    least_batch: ClassVar[int] = 2
    method: Literal["reviewkd"] = "reviewkd"
    middle_width: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Channels inside the fusion. Default: the deepest student level's, up to 512.",
    )


class AbKnobs(MapKnobs):
    """Activation boundaries (Heo et al. 2018): on which side of zero a neuron is."""

    method: Literal["ab"] = "ab"
    margin: float = Field(1.0, gt=0, description="Distance to keep from the boundary.")


class FtKnobs(MapKnobs):
    """Factor transfer (Kim et al. 2018): a paraphrased teacher, a translating student.

    A stage of `part: paraphraser` first trains the paraphraser alone, as the paper does; without
    one it learns beside the student.
    """

    method: Literal["ft"] = "ft"
    weight: float = Field(200.0, ge=0, description=_WEIGHT)
    levels: int = Field(
        1, ge=1, le=16, description="Largest number of levels, counted from the deepest."
    )
    part: Literal["transfer", "paraphraser"] = Field(
        "transfer", description="`paraphraser`: train only that, on the teacher's own maps."
    )
    rate: float = Field(0.5, gt=0, le=4, description="Factor channels per teacher channel.")


class NstKnobs(MapKnobs):
    """Neuron selectivity (Huang & Wang 2017): match the distributions of neurons' responses."""

    method: Literal["nst"] = "nst"
    weight: float = Field(50.0, ge=0, description=_WEIGHT)


class VidKnobs(MapKnobs):
    """Variational information distillation (Ahn et al. 2019): maximise mutual information."""

    method: Literal["vid"] = "vid"
    initial_variance: float = Field(5.0, gt=0, description="Variance that every channel starts at.")


class SimkdKnobs(Knobs):
    """SimKD (Chen et al. 2022): learn to feed the teacher's own classifier, which is reused."""

    needs_one_teacher: ClassVar[bool] = True
    needs_same_classes: ClassVar[bool] = True
    least_batch: ClassVar[int] = 2
    method: Literal["simkd"] = "simkd"
    weight: float = Field(
        10.0, ge=0, description="Weight of this loss term; the paper's 1 is for 240 epochs."
    )
