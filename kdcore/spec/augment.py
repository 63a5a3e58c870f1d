"""Augmentations of training images, each a name alone or a name with knobs, and their ranges.

They are applied in the order in which they are defined here, whatever their order in a spec. What
is drawn for an image depends only on the seed, the stage, the epoch and the image.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from kdcore.spec.base import SpecModel
from kdcore.spec.spec_codes import SpecCode

Name = Literal[
    "crop",
    "random_resized_crop",
    "flip",
    "rand_augment",
    "colour_jitter",
    "cutout",
    "mixup",
    "cutmix",
]
PROBABILITY = "Fraction of the images it is applied to."


class Crop(SpecModel):
    """Zero-pad by 1/8 of each side and cut at random; where `resize_to` leaves a margin, cut
    inside of it and pad nothing."""

    name: Literal["crop"] = "crop"


class RandomResizedCrop(SpecModel):
    """A window of random area and shape, stretched to the image size (Szegedy et al. 2015, 6)."""

    name: Literal["random_resized_crop"] = "random_resized_crop"
    scale: tuple[
        Annotated[float, Field(gt=0, le=1)],
        Annotated[float, Field(gt=0, le=1)],
    ] = Field((0.08, 1.0), description="Smallest and largest fraction of the area.")
    ratio: tuple[
        Annotated[float, Field(ge=0.1, le=10)],
        Annotated[float, Field(ge=0.1, le=10)],
    ] = Field((3 / 4, 4 / 3), description="Smallest and largest ratio of width to height.")


class Flip(SpecModel):
    """Mirrored, left and right, with probability 1/2."""

    name: Literal["flip"] = "flip"


class RandAugment(SpecModel):
    """Operations drawn per image, on colours and shape, one after the other (Cubuk et al. 2020)."""

    name: Literal["rand_augment"] = "rand_augment"
    operations: int = Field(2, ge=1, le=8, description="Number of operations per image.")
    magnitude: float = Field(9.0, ge=0, le=30, description="Mean strength, on a scale to 30.")
    spread: float = Field(
        0.0,
        ge=0,
        le=30,
        description="Strengths are drawn uniformly from magnitude - spread to magnitude + spread, "
        "within 0 to 30. 0: always the same, as in the paper.",
    )


class ColourJitter(SpecModel):
    """Brightness, contrast and saturation, in this order, each times a factor in 1 - x to 1 + x."""

    name: Literal["colour_jitter"] = "colour_jitter"
    brightness: float = Field(0.4, ge=0, le=1, description="0: unchanged.")
    contrast: float = Field(0.4, ge=0, le=1, description="0: unchanged.")
    saturation: float = Field(0.4, ge=0, le=1, description="0: unchanged; grey images have none.")


class Cutout(SpecModel):
    """A square of one value around a random pixel, cut at the border (DeVries & Taylor 2017)."""

    name: Literal["cutout"] = "cutout"
    size: float = Field(
        0.5, gt=0, le=1, description="Its side, as a fraction of the image's shorter side."
    )
    fill: float = Field(0.5, ge=0, le=1, description="Its value, from black to white.")
    probability: float = Field(1.0, gt=0, le=1, description=PROBABILITY)


class Mixup(SpecModel):
    """A weighted mean with another image, labels likewise (Zhang et al. 2018)."""

    name: Literal["mixup"] = "mixup"
    alpha: float = Field(
        0.2, ge=0.02, le=32, description="The image's own share is drawn from Beta(alpha, alpha)."
    )
    probability: float = Field(1.0, gt=0, le=1, description=PROBABILITY)


class Cutmix(SpecModel):
    """A rectangle of another image, labels by area (Yun et al. 2019). Beside mixup: each half."""

    name: Literal["cutmix"] = "cutmix"
    alpha: float = Field(
        1.0, ge=0.02, le=32, description="The image's own share is drawn from Beta(alpha, alpha)."
    )
    probability: float = Field(1.0, gt=0, le=1, description=PROBABILITY)


Knobs = Crop | RandomResizedCrop | Flip | RandAugment | ColourJitter | Cutout | Mixup | Cutmix
KINDS: dict[str, type[Knobs]] = {
    "crop": Crop,
    "random_resized_crop": RandomResizedCrop,
    "flip": Flip,
    "rand_augment": RandAugment,
    "colour_jitter": ColourJitter,
    "cutout": Cutout,
    "mixup": Mixup,
    "cutmix": Cutmix,
}
MIXING = frozenset({"mixup", "cutmix"})


def _tag(value: Any) -> str | None:
    """`name` for a bare name, else the kind; None for neither."""
    if isinstance(value, SpecModel):
        return name_of(value)
    if not isinstance(value, dict):
        return "plain"
    name = value.get("name")
    return name if isinstance(name, str) and name in KINDS else None


Augmentation = Annotated[
    Annotated[Name, Tag("plain")]
    | Annotated[Crop, Tag("crop")]
    | Annotated[RandomResizedCrop, Tag("random_resized_crop")]
    | Annotated[Flip, Tag("flip")]
    | Annotated[RandAugment, Tag("rand_augment")]
    | Annotated[ColourJitter, Tag("colour_jitter")]
    | Annotated[Cutout, Tag("cutout")]
    | Annotated[Mixup, Tag("mixup")]
    | Annotated[Cutmix, Tag("cutmix")],
    Discriminator(
        _tag,
        custom_error_type=SpecCode.UNKNOWN_AUGMENTATION,
        custom_error_message=f"the augmentation's name is none of {', '.join(KINDS)}",
    ),
]


def name_of(item: Any) -> str:
    """An augmentation's name, with knobs or without."""
    return item if isinstance(item, str) else str(item.name)


def with_knobs(augment: tuple[Augmentation, ...]) -> dict[str, Knobs]:
    """Every augmentation with its knobs, by name, in the order in which they are applied."""
    given = {name_of(a): KINDS[a]() if isinstance(a, str) else a for a in augment}
    return {name: given[name] for name in KINDS if name in given}


def check(augment: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
    """Raises ValueError for duplicates, two kinds of crop, and ranges that run backwards."""
    names = [name_of(a) for a in augment]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]} is given twice")
    if {"crop", "random_resized_crop"} <= set(names):
        raise ValueError("crop and random_resized_crop both cut: choose one")
    for item in augment:
        if isinstance(item, RandomResizedCrop):
            for name, (low, high) in (("scale", item.scale), ("ratio", item.ratio)):
                if low > high:
                    raise ValueError(f"{name} runs from {low:g} down to {high:g}")
    return augment


def mixes(augment: tuple[Augmentation, ...]) -> bool:
    """Whether images are mixed, and labels with them."""
    return not MIXING.isdisjoint(map(name_of, augment))
