"""Image folders: layouts, classes by name, sizes and kinds of images, and what is refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore.data.fit import Fit
from kdcore.data.folder import read_folder
from kdcore.runtime.errors import RunError

GREY, COLOUR = 0, (255, 0, 0)


def picture(
    size: tuple[int, int] = (8, 10), mode: str = "RGB", value: object = 0, format: str = "PNG"
) -> bytes:
    """An image of one colour; `size` is height, width."""
    stream = io.BytesIO()
    Image.new(mode, size[::-1], value).save(stream, format)  # type: ignore[arg-type]
    return stream.getvalue()


def write(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def labels(path: Path, files: dict[str, bytes]) -> list[int] | None:
    found = read_folder(write(path, files)).train.labels_N
    return None if found is None else found.tolist()


TWO = {"cat/1.png": picture(), "cat/2.png": picture(), "dog/1.png": picture()}


@pytest.mark.parametrize("prefix", ["", "animals/", "a/b/"])
@pytest.mark.parametrize("zipped", [True, False])
def test_classes_are_the_folders_by_name(tmp_path: Path, prefix: str, zipped: bool) -> None:
    files = {f"{prefix}train/{name}": content for name, content in TWO.items()}
    files[f"{prefix}test/dog/9.png"] = picture()
    files |= {"__MACOSX/train/._1.png": b"junk", ".hidden.png": b"junk", "README.md": b"words"}
    path = write(tmp_path / "d", files)
    if zipped:
        path = tmp_path / "d.zip"
        with zipfile.ZipFile(path, "w") as target:
            for name, content in files.items():
                target.writestr(name, content)
    data = read_folder(path)
    assert data.class_names == ("cat", "dog")
    assert data.train.labels_N is not None and data.train.labels_N.tolist() == [0, 1, 0]
    assert data.test is not None and data.test.labels_N is not None
    assert data.test.labels_N.tolist() == [1]
    assert (data.channels, data.height, data.width, data.num_classes) == (3, 8, 10, 2)


def test_without_a_train_folder_all_is_training(tmp_path: Path) -> None:
    assert labels(tmp_path, TWO) == [0, 1, 0]


def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    data = read_folder(write(tmp_path, {f"{n}/a.png": picture() for n in (10, 2, 0)}))
    assert data.class_names == ("0", "2", "10")


def test_images_outside_of_class_folders_have_no_labels(tmp_path: Path) -> None:
    assert labels(tmp_path / "a", {"1.png": picture(), "2.png": picture()}) is None
    files = {"train/1.png": picture(), "test/cat/1.png": picture(), "test/dog/1.png": picture()}
    data = read_folder(write(tmp_path / "b", files))
    assert data.train.labels_N is None
    assert data.test is not None and data.test.labels_N is not None
    assert data.class_names == ("cat", "dog")


def test_the_first_images_take_turns_by_class(tmp_path: Path) -> None:
    files = {f"{name}/{i}.png": picture() for name in "abc" for i in range(4)}
    assert labels(tmp_path, files) == [0, 1, 2] * 4


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_formats_are_recognised_by_content(tmp_path: Path, format: str) -> None:
    image = picture(value=(250, 100, 50), format=format)
    data = read_folder(write(tmp_path, {"a/1.jpg": image, "b/1.jpg": image}))
    colour = data.train.images_NCHW[0, :, 4, 5].tolist()
    assert np.allclose(colour, (250, 100, 50), atol=6)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 77, [77]),
        ("1", 1, [255]),
        ("I;16", 257 * 77, [77]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 255), [1, 2, 3]),
        ("P", 0, [0, 0, 0]),
    ],
)
def test_modes_become_grey_or_colour(
    tmp_path: Path, mode: str, value: object, expected: list[int]
) -> None:
    image = picture(mode=mode, value=value)
    data = read_folder(write(tmp_path, {"a/1.png": image, "b/1.png": image}))
    assert data.train.images_NCHW[0, :, 0, 0].tolist() == expected


def test_one_coloured_image_makes_all_of_them_colour(tmp_path: Path) -> None:
    grey, colour = picture(mode="L", value=9), picture(value=COLOUR)
    data = read_folder(write(tmp_path, {"a/1.png": grey, "b/1.png": colour}))
    assert data.train.images_NCHW[:, :, 0, 0].tolist() == [[9, 9, 9], [255, 0, 0]]


def test_other_sizes_are_stretched_to_the_commonest_or_the_wanted(tmp_path: Path) -> None:
    images = {
        "a/1.png": picture((8, 10)),
        "a/2.png": picture((8, 10)),
        "b/1.png": picture((30, 20)),
    }
    path = write(tmp_path, images)
    data = read_folder(path)
    assert (data.height, data.width, data.uniform) == (8, 10, False)
    wanted = read_folder(path, Fit((16, 12)))
    assert wanted.train.images_NCHW.shape == (3, 3, 16, 12)


def test_a_rotated_photograph_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (10, 8))
    image.paste(COLOUR, (0, 0, 10, 4))
    exif = image.getexif()
    exif[0x0112] = 3  # upside down
    stream = io.BytesIO()
    image.save(stream, "PNG", exif=exif)
    data = read_folder(write(tmp_path, {"a/1.png": stream.getvalue(), "b/1.png": picture()}))
    assert data.train.images_NCHW[0, :, 7, 0].tolist() == [255, 0, 0]
    assert data.train.images_NCHW[0, :, 0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.txt": b"x"}, "no images"),
        (TWO | {"cat/3.png": b"not an image"}, "cat/3.png is not a PNG"),
        (TWO | {"cat/3.png": picture(format="GIF")}, "cat/3.png is not a PNG"),
        (TWO | {"cat/3.png": picture((99, 99))[:-40]}, "cat/3.png is damaged"),
        (TWO | {"3.png": picture()}, "both inside and outside"),
        ({"train/cat/1.png": picture()}, "at least 2 classes"),
        ({f"{s}/a/1.png": picture() for s in ("train", "val", "test")}, "keep one of"),
        ({"test/cat/1.png": picture(), "test/dog/1.png": picture()}, "no training images"),
        ({"train/a/1.png": picture(), "test/b/1.png": picture()}, "missing from train: .*b"),
        ({"train/a/1.png": picture(), "extra/b/1.png": picture()}, "neither in train nor in test"),
        ({"a/1.png": picture((2, 2)), "b/1.png": picture((2, 2))}, "2x2 pixels"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(RunError, match=message) as caught:
        read_folder(write(tmp_path, files))
    assert caught.value.code == "bad_dataset"


def test_an_image_of_too_many_pixels_is_never_decoded(tmp_path: Path) -> None:
    giant = picture((9000, 9000), mode="1", value=0)
    assert len(giant) < 100_000
    with pytest.raises(RunError, match=r"3\.png has 9000x9000 pixels; the limit is"):
        read_folder(write(tmp_path, TWO | {"cat/3.png": giant}))


def test_images_are_kept_channels_last(tmp_path: Path) -> None:
    images_NCHW = read_folder(write(tmp_path, TWO)).train.images_NCHW
    assert images_NCHW.is_contiguous(memory_format=torch.channels_last)
