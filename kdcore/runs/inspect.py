"""Opens what a user uploaded, in the run's own process, and says what it is."""

from pathlib import Path

from kdcore.data.sink import LogFn
from kdcore.data.source import scan_dataset
from kdcore.networks.weights import load_network
from kdcore.runs.export import export_network
from kdcore.spec.result import InspectDatasetResult, InspectModelResult
from kdcore.spec.run import InspectDatasetRun, InspectModelRun


def inspect_model(run: InspectModelRun, out: Path) -> InspectModelResult:
    """Check the weights against the architecture; write them as `out/model.safetensors`.

    Raises RunError as `load_network` and `export_network` do.
    """
    module = load_network(run.network, Path(run.weights), run.format)
    return InspectModelResult(
        network=run.network,
        parameters=sum(p.numel() for p in module.parameters()),
        modules=tuple(name for name, _ in module.named_modules() if name),
        artifacts=export_network(module, run.network, out, ("safetensors",), "model"),
    )


def inspect_dataset(run: InspectDatasetRun, note: LogFn = lambda _: None) -> InspectDatasetResult:
    """Read the dataset whole, every image of it. Raises RunError as `scan_dataset` does."""
    data = scan_dataset(run.dataset, note)
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
