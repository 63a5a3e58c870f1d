"""Outcomes of inspections: the model or dataset is accepted or rejected."""

from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from distillery.store.db.tables import Dataset, Model, Upload
from kdcore.spec.result import InspectDatasetResult, InspectModelResult


def accept_model(
    s: Session, model_id: str, result: InspectModelResult, converted: str | None
) -> None:
    """Mark a model as ready.

    `converted`: the blob with the weights as safetensors, unless the upload is that already; the
    upload's bytes are released then. Raises ValueError if a conversion is needed and missing.
    """
    model = s.get_one(Model, model_id)
    if converted is None and model.format != "safetensors":
        raise ValueError(f"the result has no weights for {model_id}, a {model.format}")
    values: dict[str, Any] = {
        "network": result.network.model_dump(mode="json"),
        "parameters": result.parameters,
        "modules": list(result.modules),
    }
    if converted is not None:
        _release_upload(s, model)
        values["blob"] = converted
    _update(s, Model, model_id, state="ready", error=None, **values)


def _release_upload(s: Session, model: Model) -> None:
    """Expire the uploads of a model's bytes: only other models registered from them keep them."""
    of_model = (Upload.tenant == model.tenant, Upload.blob == model.blob)
    expired = {"state": "expired", "blob": None, "version": Upload.version + 1}
    s.execute(update(Upload).where(*of_model, Upload.state == "complete").values(expired))


def accept_dataset(s: Session, dataset_id: str, result: InspectDatasetResult) -> None:
    """Mark a dataset as ready, with the result's description of it."""
    info = result.model_dump(mode="json")
    _update(s, Dataset, dataset_id, state="ready", info=info, error=None)


def reject(s: Session, subject: str, error: dict[str, Any]) -> None:
    """Mark a model or dataset as unusable: its inspection ended without a result."""
    _update(s, table_of(subject), subject, state="rejected", error=error)


def inspect_again(s: Session, subject: str) -> bool:
    """Set a model or dataset back to `inspecting`; return False if it was deleted meanwhile."""
    return _update(s, table_of(subject), subject, state="inspecting", error=None)


def table_of(subject: str) -> type[Model] | type[Dataset]:
    """Return the table of an id, by its prefix."""
    return Model if subject.startswith("mdl_") else Dataset


def _update(s: Session, table: type[Model] | type[Dataset], subject: str, **values: Any) -> bool:
    query = update(table).where(table.id == subject, table.state != "ready")
    updated = s.scalar(query.values(version=table.version + 1, **values).returning(table.id))
    return updated is not None
