"""What an inspection is about, a model or a dataset: accepted or rejected with its job."""

from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from distillery.store.db.tables import Dataset, Model, Upload
from kdcore.spec.result import InspectDatasetResult, InspectModelResult


def accept_model(
    s: Session, model_id: str, result: InspectModelResult, converted: str | None
) -> None:
    """Mark a model as ready. `converted`: the blob of its weights as safetensors, if the uploaded
    file was not that already; the upload's bytes are given up then. Raises ValueError if they are
    needed and missing."""
    model = s.get_one(Model, model_id)
    if converted is None and model.format != "safetensors":
        raise ValueError(f"the result has no weights for {model_id}, a {model.format}")
    values: dict[str, Any] = {
        "network": result.network.model_dump(mode="json"),
        "parameters": result.parameters,
        "modules": list(result.modules),
    }
    if converted is not None:
        _give_up_upload(s, model)
        values["blob"] = converted
    _settle(s, Model, model_id, state="ready", error=None, **values)


def _give_up_upload(s: Session, model: Model) -> None:
    """Expire the uploads of a model's bytes, so that nothing but what else was registered from
    them refers to those bytes any more."""
    of_model = (Upload.tenant == model.tenant, Upload.blob == model.blob)
    expired = {"state": "expired", "blob": None, "version": Upload.version + 1}
    s.execute(update(Upload).where(*of_model, Upload.state == "complete").values(expired))


def accept_dataset(s: Session, dataset_id: str, result: InspectDatasetResult) -> None:
    """The dataset is ready; the result says what is in it."""
    info = result.model_dump(mode="json")
    _settle(s, Dataset, dataset_id, state="ready", info=info, error=None)


def reject(s: Session, subject: str, error: dict[str, Any]) -> None:
    """The inspection ended without a result: the model or dataset cannot be used."""
    _settle(s, table_of(subject), subject, state="rejected", error=error)


def inspect_again(s: Session, subject: str) -> bool:
    """Back to `inspecting`, for a retry; False where the subject was deleted meanwhile."""
    return _settle(s, table_of(subject), subject, state="inspecting", error=None)


def table_of(subject: str) -> type[Model] | type[Dataset]:
    """The table that an id belongs to, by its prefix."""
    return Model if subject.startswith("mdl_") else Dataset


def _settle(s: Session, table: type[Model] | type[Dataset], subject: str, **values: Any) -> bool:
    query = update(table).where(table.id == subject, table.state != "ready")
    found = s.scalar(query.values(version=table.version + 1, **values).returning(table.id))
    return found is not None
