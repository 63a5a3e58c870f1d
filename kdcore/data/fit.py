"""Brings images to the size of a run: stretches them, or resizes and crops, or pads."""

# N samples, C channels, H height, W width

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from kdcore.data.images import CHUNK, ImageData, Size, Split, check_size
from kdcore.data.sink import Sink
from kdcore.runtime.errors import refuse
from kdcore.spec.fit import impossible_padding


@dataclass(frozen=True)
class Fit:
    """How images are brought to one size, according to the spec's `data`.

    With `resize_to`, images are stored with a margin around the centre of `image_size`, which
    evaluation reads.
    """

    image_size: Size | None = None
    resize_to: int | None = None
    pad_to: Size | None = None

    def stored(self, own: Size) -> Size:
        """The size at which images of size `own` are stored. Raises RunError `bad_pad`."""
        size = self.image_size or own
        if self.resize_to is not None:
            shorter = min(size)
            height, width = (round(side * self.resize_to / shorter) for side in size)
            return height, width
        if self.pad_to is not None:
            _margins(size, self.pad_to)
            return self.pad_to
        return size

    def read(self) -> Size | None:
        """The size that is read of each stored image; None: all of it."""
        return None if self.resize_to is None else self.image_size

    def apply(self, images_NCHW: Tensor) -> Tensor:
        """Bring uint8 images of one size to the size at which they are stored."""
        if self.resize_to is not None:
            own = (images_NCHW.shape[2], images_NCHW.shape[3])
            return cover(images_NCHW, self.stored(own))
        if self.image_size is not None:
            images_NCHW = resize(images_NCHW, self.image_size)
        return images_NCHW if self.pad_to is None else pad(images_NCHW, self.pad_to)


def place(data: ImageData, fit: Fit, sink: Sink) -> ImageData:
    """Fit the images of a dataset, a few at a time, into `sink`."""
    if fit == Fit() and not sink.needed:
        return data
    stored = fit.stored((data.height, data.width))
    check_size(len(data.train), data.channels, *stored, sink.limit)

    def fitted(name: str, split: Split) -> Split:
        images_NCHW = sink.allocate(name, (len(split), data.channels, *stored))
        for start in range(0, len(split), CHUNK):
            chunk_BCHW = split.images_NCHW[start : start + CHUNK]
            images_NCHW[start : start + CHUNK] = fit.apply(chunk_BCHW)
            sink.progress(name, min(start + CHUNK, len(split)), len(split))
        return replace(split, images_NCHW=images_NCHW)

    train = fitted("train", data.train)
    test = None if data.test is None else fitted("test", data.test)
    return replace(data, train=train, test=test, height=stored[0], width=stored[1])


def resize(images_NCHW: Tensor, size: Size) -> Tensor:
    """Stretch uint8 images to (height, width): bilinear, antialiased."""
    if images_NCHW.shape[2:] == size:
        return images_NCHW
    return torch.cat(
        [
            functional.interpolate(
                chunk_BCHW, size, mode="bilinear", align_corners=False, antialias=True
            )
            for chunk_BCHW in torch.split(images_NCHW, CHUNK)
        ]
    )


def cover(images_NCHW: Tensor, size: Size) -> Tensor:
    """Resize uint8 images, keeping their aspect ratio, to just cover (height, width), and crop the
    centre: for a square, the shorter side is resized to its side and the longer one cropped."""
    height, width = images_NCHW.shape[2:]
    scale = max(size[0] / height, size[1] / width)
    # Rounding must not take a pixel from a side that fits exactly.
    covering = tuple(
        max(least, int(own * scale)) for least, own in zip(size, (height, width), strict=True)
    )
    large_NCHW = resize(images_NCHW, (covering[0], covering[1]))
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return large_NCHW[:, :, top : top + size[0], left : left + size[1]]


def pad(images_NCHW: Tensor, size: Size) -> Tensor:
    """Pad images with zeros to (height, width); an odd extra pixel goes to the bottom or right."""
    rows, columns = _margins((images_NCHW.shape[2], images_NCHW.shape[3]), size)
    left, top = columns // 2, rows // 2
    return functional.pad(images_NCHW, (left, columns - left, top, rows - top))


def _margins(own: Size, size: Size) -> Size:
    refuse(impossible_padding(own, size))
    return size[0] - own[0], size[1] - own[1]
