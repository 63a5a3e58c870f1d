"""Finds the linear classifier at a network's end, and for SimKD replaces it by a teacher's.

B: batch, F: features, K: classes.
"""

from torch import Tensor, nn

from kdcore.runtime.errors import RunError
from kdcore.spec.spec_codes import SpecCode


class ReusedClassifier(nn.Module):
    """A projector from the student's features to the teacher's, and the teacher's classifier.

    logits_BK from feature_BF; the classifier is not trained. The projector (Chen et al. 2022,
    section 3.2) narrows to half of the teacher's width and widens again.
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
    """Path and module of the last linear layer with `num_classes` outputs.

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
            f"simkd needs a network that ends with a linear layer of {num_classes} outputs; this "
            "one does not",
        )
    return found[-1]


def insert_projector(network: nn.Module, num_classes: int, width: int) -> None:
    """Replace the network's classifier by a projector to `width` features and a classifier of them.

    Both are initialised randomly. Raises RunError `no_linear_classifier`.
    """
    path, own = find_classifier(network, num_classes)
    network.set_submodule(path, ReusedClassifier(own.in_features, width, num_classes))
