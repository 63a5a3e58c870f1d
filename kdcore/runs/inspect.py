"""Inspects an uploaded model or dataset, in a process of its own."""

from pathlib import Path

from kdcore.data.sink import LogFn
from kdcore.data.source import scan_dataset
from kdcore.networks.weights import holds_exactly, load_network
from kdcore.runs.export import export_weights
from kdcore.spec.result import InspectDatasetResult, InspectModelResult, RunArtifact
from kdcore.spec.run import InspectDatasetRun, InspectModelRun


def inspect_model(run: InspectModelRun, out: Path) -> InspectModelResult:
    """Check the weights against the architecture; convert them to `out/model.safetensors`, unless
    the file is safetensors of the network's own number types already.

    Raises RunError as `load_network` and `export_weights` do.
    """
    path = Path(run.weights)
    module = load_network(run.network, path, run.format)
    artifacts: tuple[RunArtifact, ...] = ()
    if run.format != "safetensors" or not holds_exactly(path, module):
        artifacts = (export_weights(module, run.network, out / "model.safetensors"),)
    return InspectModelResult(
        network=run.network,
        parameters=sum(p.numel() for p in module.parameters()),
        modules=tuple(name for name, _ in module.named_modules() if name),
        artifacts=artifacts,
    )


def inspect_dataset(run: InspectDatasetRun, log: LogFn = lambda _: None) -> InspectDatasetResult:
    """Decode every image of the dataset. Raises RunError like `scan_dataset`."""
    data = scan_dataset(run.dataset, log)
    return InspectDatasetResult(
        train=len(data.train),
        test=0 if data.test is None else len(data.test),
        labelled=data.train.labels_N is not None,
        num_classes=data.num_classes,
        class_names=data.class_names,
        channels=data.channels,
        height=data.height,
        width=data.width,
        uniform=data.uniform,
    )
