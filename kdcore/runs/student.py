"""Describes and builds the student: its network, initial weights and, for SimKD, classifier."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kdcore.data.images import ImageData
from kdcore.data.statistics import data_statistics
from kdcore.networks.classifier import ReusedClassifier
from kdcore.networks.weights import load_network
from kdcore.networks.zoo import build_network
from kdcore.runtime.device import Device
from kdcore.runtime.errors import RunError, refuse
from kdcore.runtime.seeds import derive_seed, seed_everything
from kdcore.spec.fit import NO_CLASSES
from kdcore.spec.names import ArmName
from kdcore.spec.run import DistillRun, Input, Network


def describe_student(
    spec: DistillRun, data: ImageData, training_N: Tensor, classifier: nn.Linear | None
) -> Network:
    """The student's description: class count and input follow the data, else the teachers.

    `training_N`: positions of the samples trained on. `classifier`: the teacher's, if the student
    reuses it. Raises RunError `dataset_without_labels`.
    """
    of_teachers = (teacher.network.num_classes for teacher in spec.teachers)
    num_classes = data.num_classes or next(of_teachers, None)
    refuse(NO_CLASSES if num_classes is None else None)
    assert num_classes is not None
    mean, std = data_statistics(data.train, training_N)
    shape = {"channels": data.channels, "height": data.height, "width": data.width}
    return Network(
        architecture=spec.student.architecture,
        options=spec.student.options,
        num_classes=num_classes,
        input=Input(**shape, mean=mean, std=std),
        classifier_width=None if classifier is None else classifier.in_features,
    )


@dataclass(frozen=True)
class StudentBuilder:
    """Builds the networks of the arms on the device, each with the same weights every time.

    `weights`: a file of initial weights; if None, they are drawn by `seed`. `classifier`: the
    teacher's, which the student reuses and the baseline does not.
    """

    network: Network
    device: Device
    seed: int
    weights: Path | None
    classifier: nn.Linear | None

    def __call__(self, arm: ArmName) -> nn.Module:
        """Build an arm's network. Raises RunError like `load_network` and `build_network`."""
        seed_everything(derive_seed(self.seed, "student"))
        student = self._initialise(self.network_of(arm))
        if arm == "student" and self.classifier is not None:
            _copy_classifier(self.classifier, student)
        return self.device.place(student)

    def network_of(self, arm: ArmName) -> Network:
        """The description of an arm's network; the baseline always has a classifier of its own."""
        if arm == "student":
            return self.network
        return self.network.model_copy(update={"classifier_width": None})

    def _initialise(self, network: Network) -> nn.Module:
        if self.weights is None:
            return build_network(network)
        try:
            return load_network(network, self.weights)
        except RunError as error:
            pointer = "/initial_weights" if error.pointer == "/weights" else error.pointer
            raise RunError(error.code, error.message, pointer=pointer) from error


def _copy_classifier(classifier: nn.Linear, student: nn.Module) -> None:
    reused = [m for m in student.modules() if isinstance(m, ReusedClassifier)][-1].classifier
    if reused.weight.shape == classifier.weight.shape:  # else simkd raises the error
        bias = torch.zeros(classifier.out_features)
        reused.load_state_dict({"bias": bias, **classifier.state_dict()})
