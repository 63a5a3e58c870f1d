"""Models, datasets and methods of a service: push, wait for the inspection, list, get, delete."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from distillery.sdk.downloads import download
from distillery.sdk.errors import Rejected, UsageMistake
from distillery.sdk.folder import dataset_format, npz_file, one_file
from distillery.sdk.progress import Progress
from distillery.sdk.transport import Transport
from distillery.sdk.uploads import Uploads
from distillery.sdk.views import Dataset, Model
from distillery.sdk.weights import (
    Weights,
    describe_network,
    stored_network,
    weights_file,
    weights_format,
)
from distillery.wire.catalog import Method
from distillery.wire.jobs import Job
from kdcore.spec.recipe import DatasetFormat, Scalar
from kdcore.spec.run import Input, Network

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

T = TypeVar("T", bound=Model | Dataset)
POLL_S = 0.3
SHORT_WAIT_S = 2.0  # after that, the reason of a wait is shown


class Catalog(Generic[T]):
    """What models and datasets have in common."""

    noun: str
    prefix: str

    def __init__(self, transport: Transport, uploads: Uploads, progress: Progress, view: type[T]):
        self._transport = transport
        self._uploads = uploads
        self._progress = progress
        self._view = view

    def get(self, reference: str) -> T:
        """Fetch one item by its id or name. Raises as `resolve` does."""
        return self._fetch(self.resolve(reference))

    def list(self) -> Iterator[T]:
        """Yield every item, newest first, page by page."""
        return self._transport.pages(f"/{self.noun}s", self._view)

    def delete(self, reference: str) -> None:
        """Delete an item; refused (ApiError, 409) while an unfinished job uses it."""
        self._transport.request("DELETE", f"/{self.noun}s/{self.resolve(reference)}")

    def resolve(self, reference: str) -> str:
        """Return the id that an id or a name stands for.

        Rejected items are not found by name; of several with the same content the newest counts.
        Raises UsageMistake when none or several are left.
        """
        if reference.startswith(self.prefix):
            return reference
        named = [i for i in self.list() if i.name == reference and i.state != "rejected"]
        found = list({self._content(item): item.id for item in reversed(named)}.values())
        if len(found) == 1:
            return found[0]
        if not found:
            raise UsageMistake(
                f"There is no {self.noun} named {reference!r}.",
                hint=f"See `kd {self.noun}s list`; an id starts with {self.prefix}",
            )
        raise UsageMistake(
            f"{len(found)} {self.noun}s are named {reference!r}.",
            hint="Use the id of one: " + ", ".join(found[:5]),
        )

    def wait(self, item_id: str) -> T:
        """Wait until the item is inspected and ready. Raises Rejected with the reason."""
        began_s = time.monotonic()
        with self._progress.line() as show:
            while True:
                item = self._fetch(item_id)
                if item.state == "ready":
                    return item
                if item.state == "rejected":
                    raise Rejected(self.noun, item.name, item.error)
                late = time.monotonic() - began_s > SHORT_WAIT_S
                show(f"Inspecting {item.name}{self._reason(item) if late else ''}")
                time.sleep(POLL_S)

    def _fetch(self, item_id: str) -> T:
        return self._transport.get(f"/{self.noun}s/{item_id}", self._view)

    def _reason(self, item: T) -> str:
        """Why the inspection has not started, where it has not."""
        if item.inspect_job is None:
            return ""
        job = self._transport.get(f"/jobs/{item.inspect_job}", Job)
        return f": {job.waiting.message}" if job.waiting else ""

    @staticmethod
    def _content(item: T) -> tuple[str, str]:
        """What makes two items the same thing; one without a hash yet is only itself."""
        how = item.network.model_dump_json() if isinstance(item, Model) else item.format
        return item.sha256 or item.id, how


class Models(Catalog[Model]):
    """The models of a service; `client.models`."""

    noun = "model"
    prefix = "mdl_"

    def __init__(self, transport: Transport, uploads: Uploads, progress: Progress):
        super().__init__(transport, uploads, progress, Model)

    def push(
        self,
        weights: Weights,
        *,
        architecture: str | None = None,
        num_classes: int | None = None,
        options: Mapping[str, Scalar] | None = None,
        input: Input | Mapping[str, Any] | None = None,
        network: Network | None = None,
        name: str | None = None,
        wait: bool = True,
    ) -> Model:
        """Upload trained weights, register them and wait until they are inspected.

        `weights` is a safetensors file, a file that `torch.save` made of a state dict, a
        `torch.nn.Module`, or a mapping of names to tensors. Describe the network by `architecture`
        and `num_classes`, with `options` and `input` (channels, height, width, mean, std) where the
        defaults do not fit, or by a whole `network`. Safetensors files that a job exported describe
        themselves. Default `name`: the file's, or the architecture.

        Raises UsageMistake when the description is missing or wrong, Rejected when the weights do
        not fit it.
        """
        if architecture is not None:
            network = describe_network(
                {
                    "architecture": architecture,
                    "num_classes": num_classes,
                    "options": dict(options or {}),
                    "input": input or {},
                }
            )
        if not isinstance(weights, str | Path):
            name = name or architecture
        with weights_file(weights) as path:
            network = network or stored_network(path)
            if network is None:
                raise UsageMistake(
                    "The network of these weights is not described.",
                    hint="Give its architecture and number of classes (kd models push "
                    "--architecture NAME --num-classes N), or the config.json of an export.",
                )
            body = {
                **network.model_dump(mode="json"),
                "name": name or path.stem,
                "format": weights_format(path),
                "upload": self._uploads.send(path).id,
            }
        model = self._transport.post("/models", Model, body)
        return self.wait(model.id) if wait else model

    def download(self, model: Model, folder: str | Path) -> Path:
        """Fetch a ready model into `folder`: NAME.safetensors, which is returned, and
        NAME.config.json, which describes the network."""
        if model.sha256 is None:
            raise UsageMistake(f"The model {model.name!r} has no weights: it is {model.state}.")
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in model.name).lstrip(".")
        target = Path(folder) / f"{stem or model.id}.safetensors"
        with self._progress.transfer(f"Downloading {target.name}") as report:
            download(
                self._transport,
                f"/models/{model.id}/weights",
                target,
                sha256=model.sha256,
                size=model.size_bytes or 0,
                on_progress=report,
            )
        config = model.network.model_dump_json(indent=2) + "\n"
        target.with_suffix(".config.json").write_text(config, encoding="utf-8")
        return target


class Datasets(Catalog[Dataset]):
    """The datasets of a service; `client.datasets`."""

    noun = "dataset"
    prefix = "ds_"

    def __init__(self, transport: Transport, uploads: Uploads, progress: Progress):
        super().__init__(transport, uploads, progress, Dataset)

    def push(
        self,
        path: str | Path,
        *,
        format: DatasetFormat | None = None,
        name: str | None = None,
        wait: bool = True,
    ) -> Dataset:
        """Upload a dataset, register it and wait until it is inspected.

        `path` is an npz file (arrays x_train, y_train, x_test, y_test), or a folder or zip file
        that holds train/CLASS/IMAGE and test/CLASS/IMAGE, or the four IDX files of the MNIST kind.
        Default `format`: detected from the file names; default `name`: the file's.

        Raises UsageMistake for a path that is none of these, Rejected for what is in it.
        """
        path = Path(path)
        chosen = format or dataset_format(path)
        with ExitStack() as files:
            with self._progress.line() as show:
                if path.is_dir():
                    show(f"Packing {path.name}")
                file = files.enter_context(one_file(path))
            upload = self._uploads.send(file)
        body = {"name": name or path.resolve().stem, "upload": upload.id, "format": chosen}
        dataset = self._transport.post("/datasets", Dataset, body)
        return self.wait(dataset.id) if wait else dataset

    def push_arrays(
        self,
        name: str,
        *,
        x_train: "ArrayLike",
        y_train: "ArrayLike | None" = None,
        x_test: "ArrayLike | None" = None,
        y_test: "ArrayLike | None" = None,
        wait: bool = True,
    ) -> Dataset:
        """Push a dataset of NumPy arrays: images (N, H, W), (N, H, W, C) or (N, C, H, W), integers
        in 0 to 255 or floats in 0 to 1, and labels (N). Needs numpy; raises as `push` does."""
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
        with npz_file({key: a for key, a in arrays.items() if a is not None}) as path:
            return self.push(path, name=name, wait=wait)


class Methods:
    """The distillation methods that a service offers; `client.methods`."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def list(self) -> Iterator[Method]:
        """Yield every method with the JSON Schema of its knobs."""
        return self._transport.pages("/methods", Method)
