"""Where images are cut: windows of the right sizes and places, read as torchvision reads them."""

import pytest
import torch

import kdcore.networks.shim  # noqa: F401 -- before torchvision
from kdcore.data.augment.placement import Centre, Mirror, PaddedCrop, ResizedCrop
from kdcore.spec.augment import RandomResizedCrop
from tests.kdcore.data.augment.cases import KEY, pictures, planes

functional = pytest.importorskip("torchvision.transforms.v2.functional")
STORED, SIZE = (17, 22), (12, 15)
MANY = torch.arange(20_000)


def test_a_resized_window_is_torchvisions() -> None:
    pixels_BHWC = pictures(40)
    crop = ResizedCrop(RandomResizedCrop(), STORED, STORED)
    drawn = crop.draw(torch.arange(40), KEY)
    windows_BHWC = crop.apply(pixels_BHWC, drawn)
    for index in range(40):
        box = [int(drawn[name][index]) for name in ("top", "left", "height", "width")]
        wanted_CHW = functional.resized_crop(
            planes(pixels_BHWC)[index].float(), *box, list(STORED), antialias=False
        )
        difference = planes(windows_BHWC)[index].float() - wanted_CHW
        assert float(difference.abs().max()) <= 0.51


def test_resized_windows_lie_inside_with_areas_and_shapes_in_range() -> None:
    stored = (200, 260)
    crop = ResizedCrop(RandomResizedCrop(scale=(0.2, 0.6), ratio=(0.5, 2.0)), stored, (8, 8))
    drawn = {name: values.double() for name, values in crop.draw(MANY, KEY).items()}
    height, width = drawn["height"], drawn["width"]
    assert bool(((drawn["top"] >= 0) & (drawn["top"] + height <= 200)).all())
    assert bool(((drawn["left"] >= 0) & (drawn["left"] + width <= 260)).all())
    area, shape = height * width / (200 * 260), (width / height).log2()
    assert 0.19 < float(area.min()) < 0.21 and 0.58 < float(area.max()) < 0.61
    # Windows that stick out are drawn again, which favours small ones a little.
    assert float(area.mean()) == pytest.approx(0.39, abs=0.02)
    assert -1.02 < float(shape.min()) < -0.98 and 0.98 < float(shape.max()) < 1.02
    assert abs(float(shape.mean())) < 0.1
    place = drawn["top"] / (200 - height).clamp(min=1)
    assert float(place.mean()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("ratio", "wanted"), [((5, 8), (4, 22)), ((0.1, 0.2), (17, 3))])
def test_where_no_window_fits_it_is_the_largest_in_the_centre(
    ratio: tuple[float, float], wanted: tuple[int, int]
) -> None:
    crop = ResizedCrop(RandomResizedCrop(scale=(1, 1), ratio=ratio), STORED, SIZE)
    drawn = crop.draw(torch.arange(50), KEY)
    assert set(drawn["height"].tolist()) == {wanted[0]}
    assert set(drawn["width"].tolist()) == {wanted[1]}
    assert set(drawn["top"].tolist()) == {(17 - wanted[0]) // 2}
    assert set(drawn["left"].tolist()) == {(22 - wanted[1]) // 2}


def test_the_whole_image_at_its_own_size_is_itself() -> None:
    pixels_BHWC = pictures()
    crop = ResizedCrop(RandomResizedCrop(scale=(1, 1), ratio=(22 / 17, 22 / 17)), STORED, STORED)
    drawn = crop.draw(torch.arange(6), KEY)
    assert torch.equal(crop.apply(pixels_BHWC, drawn), pixels_BHWC)


def test_a_crop_of_a_larger_image_is_not_padded() -> None:
    pixels_BHWC, crop = pictures(), PaddedCrop(STORED, SIZE)
    seen = set()
    for epoch in range(60):
        drawn = crop.draw(torch.arange(6), (0, 0, epoch))
        windows_BHWC = crop.apply(pixels_BHWC, drawn)
        for index in range(6):
            row, column = int(drawn["row"][index]), int(drawn["column"][index])
            wanted_HWC = pixels_BHWC[index, row : row + 12, column : column + 15]
            assert torch.equal(windows_BHWC[index], wanted_HWC)
            seen.add((row, column))
    assert {row for row, _ in seen} == set(range(6))
    assert {column for _, column in seen} == set(range(8))


def test_the_centre_is_torchvisions() -> None:
    pixels_BHWC = pictures()
    wanted_BCHW = functional.center_crop(planes(pixels_BHWC), [11, 14])
    assert torch.equal(planes(Centre((11, 14)).apply(pixels_BHWC, {})), wanted_BCHW)


def test_half_of_the_images_are_mirrored() -> None:
    flips = Mirror().draw(MANY, KEY)["flip"]
    assert float(flips.float().mean()) == pytest.approx(0.5, abs=0.01)
    pixels_BHWC = pictures(2)
    flipped_BHWC = Mirror().apply(pixels_BHWC, {"flip": torch.tensor([True, False])})
    assert torch.equal(planes(flipped_BHWC)[0], functional.hflip(planes(pixels_BHWC)[0]))
    assert torch.equal(flipped_BHWC[1], pixels_BHWC[1])
