"""SimKD (Chen et al. 2022, "Knowledge Distillation with the Reused Teacher Classifier", eq. 3).

    loss = mean (P(f_s) - f_t)^2

f_s, f_t: the classifiers' inputs; mean over batch and features. The student's classifier is
replaced by a projector P and the teacher's own classifier, which is not trained; both belong to the
exported student (`classifier_width` in its config) and count among its parameters. The paper uses
it alone in a stage: nothing reads the labels. The baseline keeps its own classifier.
Departures from the paper: P works on the pooled features, not on the maps before pooling, and ends
without a ReLU, so that it fits any network whose last layer is linear, transformers too.

B: batch, F: features.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.networks.classifier import ReusedClassifier
from kdcore.objectives.base import Method, MethodContext, implements
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.base import Tap
from kdcore.spec.knobs.maps import SimkdKnobs


@in_float32
def feature_loss(projected_BF: Tensor, teacher_BF: Tensor) -> Tensor:
    """Mean squared error over batch and features."""
    return functional.mse_loss(projected_BF, teacher_BF)


@implements(SimkdKnobs)
class Simkd(Method[SimkdKnobs]):
    """Learns the features that the teacher's classifier reads.

    Raises RunError `no_linear_classifier`.
    """

    student_logits = False
    teacher_logits = False

    def __init__(self, knobs: SimkdKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        path = context.student.find(ReusedClassifier)
        assert path is not None, "a student for simkd is built with the teacher's classifier"
        self._projected = Tap(module=f"{path}.projector")
        self._features = Tap(module=context.teachers[0].classifier(), position="before")
        self.student_taps = (self._projected,)
        self.teacher_taps = ((self._features,),)

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `simkd`."""
        projected_BF = student.features[self._projected]
        return {"simkd": feature_loss(projected_BF, teachers[0].features[self._features])}
