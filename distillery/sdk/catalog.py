"""Models and datasets of a service: push, wait for their inspection, list, fetch, remove."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from distillery.sdk.downloads import Progress as DownloadProgress
from distillery.sdk.downloads import download
from distillery.sdk.errors import ClientError, UsageMistake
from distillery.sdk.transport import Transport
from distillery.sdk.uploads import Progress, Uploads
from distillery.wire.catalog import Dataset, DatasetCreate, Method, Model, ModelCreate
from kdcore.spec.recipe import DatasetFormat, Scalar, WeightsFormat
from kdcore.spec.run import Input, Network

T = TypeVar("T", bound=Model | Dataset)
POLL_S = 0.3


class Rejected(ClientError):
    """An upload turned out not to be what it was said to be."""


class Catalog(Generic[T]):
    """What models and datasets have in common."""

    noun: str
    prefix: str

    def __init__(self, transport: Transport, uploads: Uploads, view: type[T]):
        self._transport = transport
        self._uploads = uploads
        self._view = view

    def get(self, item_id: str) -> T:
        """One item, whole."""
        return self._transport.get(f"/{self.noun}s/{item_id}", self._view)

    def list(self) -> Iterator[T]:
        """Every item, newest first, fetched page by page."""
        return self._transport.pages(f"/{self.noun}s", self._view)

    def remove(self, item_id: str) -> None:
        """Delete an item; refused (ApiError, 409) while a job that has not ended uses it."""
        self._transport.request("DELETE", f"/{self.noun}s/{item_id}")

    def resolve(self, reference: str) -> str:
        """The id that an id or a name stands for. Rejected items have lost their name; of several
        with the same content the newest counts. Raises UsageMistake when none or many are left."""
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

    @staticmethod
    def _content(item: T) -> tuple[str, str]:
        """What makes two items the same thing; one without a hash yet is only itself."""
        how = item.network.model_dump_json() if isinstance(item, Model) else item.format
        return item.sha256 or item.id, how

    def wait(self, item_id: str) -> T:
        """The item once it is inspected and ready. Raises Rejected with the reason."""
        while True:
            item = self.get(item_id)
            if item.state == "ready":
                return item
            if item.state == "rejected":
                reason = f"{item.error.message} ({item.error.code})" if item.error else "no reason"
                raise Rejected(f"The {self.noun} {item.name!r} was rejected: {reason}")
            time.sleep(POLL_S)


class Models(Catalog[Model]):
    """The models of a service."""

    noun = "model"
    prefix = "mdl_"

    def __init__(self, transport: Transport, uploads: Uploads):
        super().__init__(transport, uploads, Model)

    def push(
        self,
        path: Path,
        *,
        architecture: str,
        num_classes: int,
        name: str | None = None,
        format: WeightsFormat = "safetensors",
        options: dict[str, Scalar] | None = None,
        input: Input | None = None,
        classifier_width: int | None = None,
        on_progress: Progress | None = None,
    ) -> Model:
        """Send weights and register them; they are inspected before use (see `wait`)."""
        upload = self._uploads.send(path, on_progress)
        body = ModelCreate(
            name=name or path.stem,
            upload=upload.id,
            format=format,
            architecture=architecture,
            options=options or {},
            num_classes=num_classes,
            input=input or Input(),
            classifier_width=classifier_width,
        )
        return self._transport.post("/models", Model, body)

    def push_network(
        self,
        path: Path,
        network: Network,
        *,
        name: str | None = None,
        format: WeightsFormat = "safetensors",
        on_progress: Progress | None = None,
    ) -> Model:
        """Send weights of a network as its exported `config.json` describes it."""
        return self.push(
            path,
            architecture=network.architecture,
            num_classes=network.num_classes,
            name=name,
            format=format,
            options=network.options,
            input=network.input,
            classifier_width=network.classifier_width,
            on_progress=on_progress,
        )

    def pull(self, model: Model, target: Path, on_progress: DownloadProgress | None = None) -> Path:
        """Fetch a ready model's weights as safetensors into the file `target`."""
        if model.sha256 is None:
            raise UsageMistake(f"The model {model.name!r} has no weights: it is {model.state}.")
        path = f"/models/{model.id}/weights"
        return download(self._transport, path, target, model.sha256, on_progress)


class Datasets(Catalog[Dataset]):
    """The datasets of a service."""

    noun = "dataset"
    prefix = "ds_"

    def __init__(self, transport: Transport, uploads: Uploads):
        super().__init__(transport, uploads, Dataset)

    def push(
        self,
        path: Path,
        *,
        format: DatasetFormat,
        name: str | None = None,
        on_progress: Progress | None = None,
    ) -> Dataset:
        """Send an npz or zip file and register it; it is inspected before use (see `wait`)."""
        upload = self._uploads.send(path, on_progress)
        body = DatasetCreate(name=name or path.stem, upload=upload.id, format=format)
        return self._transport.post("/datasets", Dataset, body)


class Methods:
    """The distillation methods a service offers."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def list(self) -> Iterator[Method]:
        """Every method with the JSON Schema of its knobs."""
        return self._transport.pages("/methods", Method)
