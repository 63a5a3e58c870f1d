"""The linear classifier at a network's end: found, and replaced by a borrowed one for SimKD.

B: batch, F: features, K: classes.
"""

from torch import Tensor, nn

from kdcore.runtime.errors import RunError
from kdcore.spec.spec_codes import SpecCode


class Borrowed(nn.Module):
    """A projector from the student's features to another network's, and that network's classifier,
    which does not learn: logits_BK from feature_BF.

    The projector (Chen et al. 2022, section 3.2) narrows to half of the other's width and widens.
    """

    def __init__(self, features: int, width: int, num_classes: int) -> None:
        super().__init__()
        middle = max(1, width // 2)
        self.projector = nn.Sequential(
            *(nn.Linear(features, middle, bias=False), nn.BatchNorm1d(middle), nn.ReLU()),
            *(nn.Linear(middle, middle, bias=False), nn.BatchNorm1d(middle), nn.ReLU()),
            nn.Linear(middle, width),
        )
        self.classifier = nn.Linear(width, num_classes).requires_grad_(False)

    def forward(self, feature_BF: Tensor) -> Tensor:
        logits_BK: Tensor = self.classifier(self.projector(feature_BF))
        return logits_BK


def find_classifier(network: nn.Module, num_classes: int) -> tuple[str, nn.Linear]:
    """Path and module of the last linear layer that gives so many scores.

    Raises RunError `no_linear_classifier`.
    """
    found = [
        (path, module)
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == num_classes
    ]
    if not found:
        raise RunError(
            SpecCode.NO_LINEAR_CLASSIFIER,
            "the network does not end with a linear layer: simkd needs one",
        )
    return found[-1]


def borrow(network: nn.Module, num_classes: int, width: int) -> None:
    """Replace the network's classifier by a projector to `width` features and a classifier of
    those, both freshly drawn. Raises RunError `no_linear_classifier`."""
    path, own = find_classifier(network, num_classes)
    network.set_submodule(path, Borrowed(own.in_features, width, num_classes))
