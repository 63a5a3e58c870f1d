"""VGG with batch norm (Simonyan & Zisserman 2014) for small images.

It has one linear layer after global pooling instead of three; VGG-8 has one convolution per
section.
"""

# B batch, C channels, H height, W width, K classes

from torch import nn

from kdcore.networks.layers import Classifier, initialise
from kdcore.spec.architectures import scaled

CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def halvings(side: int) -> int:
    """How often maps are pooled, by the shorter side of the image: 3 times below 64 pixels, else 4
    times, but never below 2 pixels."""
    return min(4 if side >= 64 else 3, side.bit_length() - 2)


class Vgg(nn.Sequential):
    """`section1` to `section5`, with `pool1`, ... between the first of them, `head`; logits_BK."""

    def __init__(self, depth: int, input_channels: int, side: int, num_classes: int, width: float):
        super().__init__()
        inputs = input_channels
        pools = halvings(side)
        plan = zip(CHANNELS, CONVOLUTIONS[depth], strict=True)
        for number, (channels, convolutions) in enumerate(plan, start=1):
            outputs = scaled(channels, width)
            section = nn.Sequential()
            for index in range(convolutions):
                # Biases have no effect before a batch norm, but are in the published counts.
                section.append(nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, padding=1))
                section.append(nn.BatchNorm2d(outputs))
                section.append(nn.ReLU())
            self.add_module(f"section{number}", section)
            if number <= pools:
                self.add_module(f"pool{number}", nn.MaxPool2d(2))
            inputs = outputs
        self.add_module("head", Classifier(inputs, num_classes))
        initialise(self)
