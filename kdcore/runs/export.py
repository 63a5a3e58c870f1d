"""Exports a network as safetensors, ONNX and config.json, and verifies each by loading it back.

The ONNX model takes raw images in [0, 1] of the network's channels and size, in batches of any size
(`image`, float32, BCHW), and returns `logits` (BK): normalisation is included. Its metadata
describe this.
"""

# B batch, C channels, H height, W width, K classes

import io
import json
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from kdcore.networks.load import Normalised
from kdcore.networks.weights import load_network, save_weights
from kdcore.networks.zoo import build_network
from kdcore.runtime.errors import RunError
from kdcore.runtime.hashing import file_sha256
from kdcore.spec.codes import RunCode
from kdcore.spec.recipe import ExportFormat
from kdcore.spec.result import RunArtifact
from kdcore.spec.run import Input, Network

TOLERANCE = 1e-3  # of the largest logit, at least of 1
OPSET = 20
CONFIG_FILE = "config.json"
PROBE_SIZES = (1, 3)  # batches compared; tracing uses 2
ONNX_INPUT, ONNX_OUTPUT = "image", "logits"
EXPORT_ERRORS = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, ImportError)

WeightsKind = Literal["weights", "weights_best", "baseline_weights"]
ForwardFn = Callable[[Tensor], Tensor]
"""Computes logits_BK from images_BCHW."""


def export_network(
    module: nn.Module,
    network: Network,
    out: Path,
    formats: Iterable[ExportFormat],
    stem: str,
    kind: WeightsKind = "weights",
) -> tuple[RunArtifact, ...]:
    """Write `{stem}.safetensors` and `{stem}.onnx`, as `formats` says, into `out`.

    If `kind` is `weights`, also writes the `config.json` that describes them. `module` does not
    change; paths of artifacts are relative to `out`. Raises RunError `export_failed`, and
    `export_mismatch` if the logits of a loaded file differ.
    """
    with torch.random.fork_rng(devices=[]):
        reference = Normalised(_rebuild(module, network), network.input).eval()
        artifacts = []
        if "safetensors" in formats:
            artifacts.append(_write_weights(reference, network, out / f"{stem}.safetensors", kind))
        if "onnx" in formats:
            artifacts.append(_write_onnx(reference, network, out / f"{stem}.onnx"))
    if kind == "weights":
        artifacts.append(_write_config(network, out / CONFIG_FILE))
    return tuple(artifacts)


def export_weights(module: nn.Module, network: Network, path: Path) -> RunArtifact:
    """Write `path` as `export_network` writes weights, and nothing else. Raises RunError."""
    with torch.random.fork_rng(devices=[]):
        reference = Normalised(_rebuild(module, network), network.input).eval()
        return _write_weights(reference, network, path, "weights")


def _rebuild(module: nn.Module, network: Network) -> nn.Module:
    """Build the network again from its description: without hooks, on the CPU, in float32."""
    copy = build_network(network)
    copy.load_state_dict({name: t.detach().cpu() for name, t in module.state_dict().items()})
    return copy.eval()


def _write_weights(
    reference: Normalised, network: Network, path: Path, kind: WeightsKind
) -> RunArtifact:
    save_weights(reference.network, path, {"network": network.model_dump_json()})
    loaded = Normalised(load_network(network, path), network.input).eval()
    difference = _compare(reference, loaded, network.input, path)
    return _artifact(kind, path, "application/octet-stream", difference)


def _write_config(network: Network, path: Path) -> RunArtifact:
    path.write_text(network.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if Network.model_validate_json(path.read_bytes()) != network:
        raise _failed(path, "reading it back gives another network")
    return _artifact("config", path, "application/json", None)


def _write_onnx(reference: Normalised, network: Network, path: Path) -> RunArtifact:
    """Trace, which takes under a second; if that fails or gives other logits, use torch's newer
    exporter, which is ten times slower."""
    reasons = []
    for convert in (_convert_by_tracing, _convert_by_exporting):
        try:
            _quietly(convert, reference, _probe(network.input, 2), path)
            _finish_onnx(path, network)
            difference = _compare(reference, _open_onnx(path), network.input, path)
        except (*EXPORT_ERRORS, RunError) as error:
            path.unlink(missing_ok=True)
            reasons.append(f"{type(error).__name__}: {str(error)[:300]}")
            continue
        return _artifact("onnx", path, "application/octet-stream", difference)
    raise _failed(path, "; ".join(reasons))


def _quietly(
    convert: Callable[[nn.Module, Tensor, Path], None], model: nn.Module, x: Tensor, path: Path
) -> None:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        convert(model, x, path)


def _convert_by_tracing(model: nn.Module, image_BCHW: Tensor, path: Path) -> None:
    torch.onnx.export(
        model,
        (image_BCHW,),
        path,
        dynamo=False,
        opset_version=OPSET,
        input_names=[ONNX_INPUT],
        output_names=[ONNX_OUTPUT],
        dynamic_axes={ONNX_INPUT: {0: "batch"}, ONNX_OUTPUT: {0: "batch"}},
    )


def _convert_by_exporting(model: nn.Module, image_BCHW: Tensor, path: Path) -> None:
    torch.onnx.export(
        model,
        (image_BCHW,),
        path,
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=[ONNX_INPUT],
        output_names=[ONNX_OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
    )


def _finish_onnx(path: Path, network: Network) -> None:
    """Add what users must know; remove paths of the code on this machine."""
    import onnx  # here, since only exports need it and runs should start fast

    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    input = network.input
    model.doc_string = (
        f"{network.architecture}: `{ONNX_INPUT}` is float32 in [0, 1], batch x {input.channels} x"
        f" {input.height} x {input.width}, not normalised; `{ONNX_OUTPUT}` is batch x"
        f" {network.num_classes}."
    )
    properties = {"network": network.model_dump_json(), "input_range": "[0, 1]"}
    properties["normalisation"] = json.dumps({"inside": True, "mean": input.mean, "std": input.std})
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _open_onnx(path: Path) -> ForwardFn:
    import onnxruntime  # here, like onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(image_BCHW: Tensor) -> Tensor:
        (logits_BK,) = session.run([ONNX_OUTPUT], {ONNX_INPUT: image_BCHW.numpy()})
        return torch.from_numpy(logits_BK)

    return run


def _probe(input: Input, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.rand(batch, input.channels, input.height, input.width, generator=generator)


def _compare(reference: ForwardFn, loaded: ForwardFn, input: Input, path: Path) -> float:
    """The largest difference of any logit over the probe batches, at most TOLERANCE."""
    difference = 0.0
    for batch in PROBE_SIZES:
        image_BCHW = _probe(input, batch)
        with torch.no_grad():
            wanted_BK, found_BK = reference(image_BCHW), loaded(image_BCHW)
        gap = float((wanted_BK - found_BK).abs().max())
        limit = TOLERANCE * max(1.0, float(wanted_BK.abs().max()))
        if not gap <= limit:  # NaN is a mismatch
            raise RunError(
                RunCode.EXPORT_MISMATCH,
                f"logits of {path.name} differ from the network's by {gap:g}, more than {limit:g}",
                pointer="/export",
            )
        difference = max(difference, gap)
    return difference


def _failed(path: Path, reason: str) -> RunError:
    return RunError(
        RunCode.EXPORT_FAILED,
        f"cannot export {path.name}: {reason}",
        pointer="/export",
    )


def _artifact(
    kind: Literal["onnx", "config"] | WeightsKind,
    path: Path,
    media_type: str,
    difference: float | None,
) -> RunArtifact:
    return RunArtifact(
        kind=kind,
        path=path.name,
        media_type=media_type,
        size_bytes=path.stat().st_size,
        sha256=file_sha256(path),
        max_abs_diff=difference,
    )
