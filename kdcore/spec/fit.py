"""Whether methods, data and networks fit each other: checks of plain facts, for the service before
a job is queued and for a run before it trains. None: they fit."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

from kdcore.spec.architectures import ARCHITECTURES
from kdcore.spec.faults import Fault
from kdcore.spec.knobs.base import Knobs
from kdcore.spec.spec_codes import SpecCode

Size = tuple[int, int]
"""Height, width."""


def unmet_need(
    knobs: Knobs,
    *,
    labelled: bool,
    num_classes: int,
    batch_size: int,
    teachers: Sequence[tuple[str, int]],
) -> Fault | None:
    """What an objective's method needs and does not have; the pointer is the objective's own.

    `num_classes`: the student's; `teachers`: the name and number of classes of each.
    """
    method = knobs.method
    if knobs.needs_labels and not labelled:
        return Fault(
            SpecCode.DATASET_WITHOUT_LABELS,
            f"{method} learns from labels, and the dataset has none; kd needs none",
        )
    if knobs.needs_one_teacher and len(teachers) != 1:
        return Fault(
            SpecCode.ONE_TEACHER,
            f"{method} works with exactly one teacher: name one, not {len(teachers)}",
        )
    for name, classes in teachers if knobs.needs_same_classes else ():
        if classes != num_classes:
            return Fault(
                SpecCode.CLASS_COUNT_MISMATCH,
                f"{method} compares class by class, but {name} has {classes} classes and the "
                f"student {num_classes}; methods that read features (reviewkd, at, sp, ...) need "
                "no equal classes",
            )
    if num_classes < knobs.least_classes:
        return Fault(
            SpecCode.TOO_FEW_CLASSES,
            f"{method} needs at least {knobs.least_classes} classes, to compare those besides the "
            f"label's; with {num_classes} classes use kd",
        )
    if batch_size < knobs.least_batch:
        return Fault(
            SpecCode.BATCH_TOO_SMALL,
            f"{method} compares the samples of a batch: it needs at least {knobs.least_batch}, "
            f"not {batch_size}",
        )
    return None


def unequal_channels(
    knobs: Knobs, own: Sequence[int], teacher: str, theirs: Sequence[int]
) -> Fault | None:
    """Whether the levels of the student (`own`) and of a teacher have other channels, pair by pair,
    where the method needs equal ones; the pointer is the objective's own."""
    if not knobs.needs_same_channels or tuple(own) == tuple(theirs):
        return None
    return Fault(
        SpecCode.FSP_CHANNELS,
        f"{knobs.method} needs equal channels, but the student's levels have {_listed(own)} and "
        f"those of {teacher} have {_listed(theirs)}; use networks of one width (resnet20 and "
        "resnet8, say), name other taps, or use at, sp or reviewkd, which need no equal widths",
    )


def unreadable_channels(images: int, network: int) -> Fault | None:
    """Whether a network with `network` input channels cannot read images with `images` channels.

    Only grey to colour and colour to grey are converted. The pointer is the network's own.
    """
    if images == network or {images, network} == {1, 3}:
        return None
    return Fault(
        SpecCode.CHANNELS_MISMATCH,
        f"the images have {images} channels, and the network reads {network}",
    )


def impossible_padding(images: Size, pad_to: Size) -> Fault | None:
    """Whether images cannot be padded to a size that is smaller than they are."""
    if pad_to[0] >= images[0] and pad_to[1] >= images[1]:
        return None
    return Fault(
        SpecCode.BAD_PAD,
        f"pad_to is {pad_to[0]}x{pad_to[1]}, and the images are already {images[0]}x{images[1]}",
        "/data/pad_to",
    )


NO_CLASSES = Fault(
    SpecCode.DATASET_WITHOUT_LABELS,
    "neither the dataset nor a teacher tells how many classes there are",
    "/dataset",
)


def missing_module(network: str, module: str, modules: Collection[str]) -> Fault | None:
    """Whether a tap names a module that the network does not have; the pointer is the tap's own."""
    if module in modules:
        return None
    close = get_close_matches(module, modules, n=3, cutoff=0.3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return Fault(SpecCode.TAP_NOT_FOUND, f"{network} has no module {module!r}{hint}")


def unknown_architecture(name: str, close: Sequence[str]) -> Fault:
    """That no architecture has this name, with those that are like it; the pointer is relative to
    the network."""
    hint = (
        f"did you mean {' or '.join(close)}?" if close else f"ours are {', '.join(ARCHITECTURES)}"
    )
    return Fault(
        SpecCode.UNKNOWN_ARCHITECTURE,
        f"no architecture is named {name!r}; {hint} (or torchvision/NAME, timm/NAME)",
        "/architecture",
    )


def closest(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like `name`."""
    return get_close_matches(name.lower(), list(known), n=5, cutoff=0.5)


def _listed(channels: Sequence[int]) -> str:
    return ", ".join(map(str, channels))
