"""ShuffleNet V1 (Zhang et al. 2017, 3 groups) and V2 (Ma et al. 2018) for 32x32 images.

Unlike in the papers' ImageNet form, the stem is a 1x1 convolution that keeps the resolution.
"""

# B batch, C channels, H height, W width, K classes, G groups

import torch
from torch import Tensor, nn

from kdcore.networks.layers import Classifier, conv1x1, conv3x3, initialise
from kdcore.spec.architectures import scaled

STEM_CHANNELS = 24
V1_GROUPS = 3
V1_STAGES = ((240, 4), (480, 8), (960, 4))  # channels, blocks
V2_STAGES = ((116, 4), (232, 8), (464, 4))
V2_LAST_CHANNELS = 1024


def shuffle(x_BCHW: Tensor, groups: int) -> Tensor:
    """Channel g * C/G + c moves to c * G + g: the next grouped layer sees every group."""
    batch, channels, height, width = x_BCHW.shape
    split_BGCHW = x_BCHW.view(batch, groups, channels // groups, height, width)
    return split_BGCHW.transpose(1, 2).reshape(batch, channels, height, width)


class ShuffleUnitV1(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1; with stride 2 the pooled input is
    concatenated, otherwise the input is added; `relu3` is applied to the result.

    The ReLU after the depthwise layer is not in the paper; the networks of the distillation
    literature have it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, first_groups: int):
        super().__init__()
        branch = outputs - inputs if stride == 2 else outputs
        inner = branch // 4
        self.conv1 = conv1x1(inputs, inner, groups=first_groups)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.first_groups = first_groups
        self.depthwise = conv3x3(inner, inner, stride, groups=inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv3 = conv1x1(inner, branch, groups=V1_GROUPS)
        self.bn3 = nn.BatchNorm2d(branch)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu3 = nn.ReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = shuffle(self.relu1(self.bn1(self.conv1(x_BCHW))), self.first_groups)
        y_BCHW = self.relu2(self.bn2(self.depthwise(y_BCHW)))
        y_BCHW = self.bn3(self.conv3(y_BCHW))
        if self.pool is not None:
            return self._activate(torch.cat((y_BCHW, self.pool(x_BCHW)), 1))
        return self._activate(y_BCHW + x_BCHW)

    def _activate(self, sum_BCHW: Tensor) -> Tensor:
        out_BCHW: Tensor = self.relu3(sum_BCHW)
        return out_BCHW


class ShuffleNetV1(nn.Sequential):
    """`stem`, `stage1` to `stage3` (each halves the map), `head`; logits_BK."""

    def __init__(self, input_channels: int, num_classes: int, width: float):
        super().__init__()
        inputs = STEM_CHANNELS
        self.add_module(
            "stem",
            nn.Sequential(conv1x1(input_channels, inputs), nn.BatchNorm2d(inputs), nn.ReLU()),
        )
        for number, (channels, blocks) in enumerate(V1_STAGES, start=1):
            # A multiple of 4 * groups, since the inner layers have a quarter of the channels, in
            # whole groups. The input is concatenated, so a stage must be wider than its input.
            outputs = max(scaled(channels, width, 4 * V1_GROUPS), inputs + 4 * V1_GROUPS)
            stage = nn.Sequential(
                ShuffleUnitV1(inputs, outputs, 2, first_groups=1 if number == 1 else V1_GROUPS)
            )
            for _ in range(blocks - 1):
                stage.append(ShuffleUnitV1(outputs, outputs, 1, V1_GROUPS))
            self.add_module(f"stage{number}", stage)
            inputs = outputs
        self.add_module("head", Classifier(inputs, num_classes))
        initialise(self)


def _branch(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """1x1, depthwise 3x3, 1x1."""
    return nn.Sequential(
        conv1x1(inputs, outputs),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        conv3x3(outputs, outputs, stride, groups=outputs),
        nn.BatchNorm2d(outputs),
        conv1x1(outputs, outputs),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ShuffleUnitV2(nn.Module):
    """Half of the channels pass through, the other half are transformed; then all are shuffled."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = _branch(channels // 2, channels // 2, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        kept_BCHW, changed_BCHW = x_BCHW.chunk(2, 1)
        return shuffle(torch.cat((kept_BCHW, self.branch(changed_BCHW)), 1), 2)


class ShuffleDownUnitV2(nn.Module):
    """Both branches read all channels, with stride 2: the map halves."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(
            conv3x3(inputs, inputs, 2, groups=inputs),
            nn.BatchNorm2d(inputs),
            conv1x1(inputs, half),
            nn.BatchNorm2d(half),
            nn.ReLU(),
        )
        self.right = nn.Sequential(
            conv1x1(inputs, half),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            conv3x3(half, half, 2, groups=half),
            nn.BatchNorm2d(half),
            conv1x1(half, half),
            nn.BatchNorm2d(half),
            nn.ReLU(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return shuffle(torch.cat((self.left(x_BCHW), self.right(x_BCHW)), 1), 2)


class ShuffleNetV2(nn.Sequential):
    """`stem`, `stage1` to `stage3` (each halves the map), `last`, `head`; logits_BK."""

    def __init__(self, input_channels: int, num_classes: int, width: float):
        super().__init__()
        inputs = STEM_CHANNELS
        self.add_module(
            "stem",
            nn.Sequential(conv1x1(input_channels, inputs), nn.BatchNorm2d(inputs), nn.ReLU()),
        )
        for number, (channels, blocks) in enumerate(V2_STAGES, start=1):
            outputs = scaled(channels, width, 2)
            stage = nn.Sequential(ShuffleDownUnitV2(inputs, outputs))
            for _ in range(blocks - 1):
                stage.append(ShuffleUnitV2(outputs))
            self.add_module(f"stage{number}", stage)
            inputs = outputs
        last = scaled(V2_LAST_CHANNELS, width)
        self.add_module(
            "last", nn.Sequential(conv1x1(inputs, last), nn.BatchNorm2d(last), nn.ReLU())
        )
        self.add_module("head", Classifier(last, num_classes))
        initialise(self)
