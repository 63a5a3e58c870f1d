"""Models, datasets, results, metrics and events, made for Python and notebooks.

Each class is the wire's view with a short `repr`, a table for notebooks, and convenient accessors.
"""

from typing import TYPE_CHECKING

from distillery.sdk.errors import INSTALL_NOTEBOOK, UsageMistake
from distillery.sdk.format import number, result_columns, result_rows, size, verdict
from distillery.sdk.html import table, titled
from distillery.wire import catalog, jobs
from kdcore.spec.result import DistillResult

if TYPE_CHECKING:
    import pandas as pd


class Model(catalog.Model):
    """A network with weights: a teacher that was pushed, or a student that a job made."""

    def facts(self) -> list[tuple[str, str]]:
        """List name and value of what is worth showing."""
        i = self.network.input
        rows = [
            ("name", self.name),
            ("state", self.state),
            ("network", f"{self.network.architecture}, {self.network.num_classes} classes"),
            ("input", f"{i.channels} x {i.height} x {i.width}"),
            ("parameters", number(self.parameters)),
            ("size", size(self.size_bytes)),
            ("made by", self.source_job or "upload"),
        ]
        if self.error:
            rows.append(("rejected", f"{self.error.message} ({self.error.code})"))
        return rows

    def __repr__(self) -> str:
        return f"Model({self.id!r}, name={self.name!r}, state={self.state!r})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return titled(f"Model {self.id}", table(self.facts()))


class Dataset(catalog.Dataset):
    """Images to train and to test on; the counts are known once it is ready."""

    def images(self) -> str:
        """Put the number of images in each split into words."""
        if self.train is None:
            return "-"
        return f"{number(self.train)} train, {number(self.test)} test"

    def facts(self) -> list[tuple[str, str]]:
        """List name and value of what is worth showing."""
        shape = (self.channels, self.height, self.width)
        rows = [
            ("name", self.name),
            ("state", self.state),
            ("format", self.format),
            ("images", self.images()),
            ("shape", " x ".join(number(side) for side in shape)),
            ("classes", number(self.num_classes)),
            ("size", size(self.size_bytes)),
        ]
        if self.error:
            rows.append(("rejected", f"{self.error.message} ({self.error.code})"))
        return rows

    def __repr__(self) -> str:
        return f"Dataset({self.id!r}, name={self.name!r}, state={self.state!r})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return titled(f"Dataset {self.id}", table(self.facts()))


class Result(DistillResult):
    """What a job's student is worth, beside its teacher and the same student from scratch."""

    def __repr__(self) -> str:
        accuracies = ", ".join(f"{row[0] or row[1]} {row[2]}" for row in result_rows(self))
        return f"Result({accuracies})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = table(result_rows(self), result_columns(self))
        return titled("Result", rows, table([(verdict(self),)]) if verdict(self) else "")


class Metrics(jobs.Metrics):
    """Curves by name: `metrics["student/accuracy"]` has `steps` and `values`, lists of one length.

    The service thins out a long curve to `max_points`; its `downsampled` is True then.
    """

    def __getitem__(self, name: str) -> jobs.Series:
        for series in self.series:
            if series.name == name:
                return series
        raise KeyError(f"{name!r} is not among the curves: {', '.join(self.names()) or 'none yet'}")

    def names(self) -> list[str]:
        """The names of all curves."""
        return [series.name for series in self.series]

    def to_frame(self) -> "pd.DataFrame":
        """Build a DataFrame with a row per step and a column per curve, NaN where a curve has no
        value. Raises UsageMistake without pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise UsageMistake(
                "A DataFrame needs pandas, which is not installed.", hint=INSTALL_NOTEBOOK
            ) from error
        curves = {s.name: pd.Series(s.values, s.steps, dtype=float) for s in self.series}
        return pd.DataFrame(curves).sort_index().rename_axis("step")

    def __repr__(self) -> str:
        return f"Metrics({', '.join(self.names())})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [
            (s.name, str(len(s.values)), f"{s.values[-1]:.4g}" if s.values else "-")
            for s in self.series
        ]
        return titled("Metrics", table(rows, ("curve", "points", "last value")))


class Event(jobs.Event):
    """Something that happened to a job; each property below belongs to one `kind`."""

    @property
    def phase(self) -> str | None:
        """The phase that the run entered (kind `phase`)."""
        return str(self.body["phase"]) if self.kind == "phase" else None

    @property
    def progress(self) -> jobs.Progress | None:
        """How far the run is (kind `progress`)."""
        return jobs.Progress.model_validate(self.body) if self.kind == "progress" else None

    @property
    def metrics(self) -> dict[str, float]:
        """Values by curve name at `step` (kind `metrics`); empty for other kinds."""
        return dict(self.body["values"]) if self.kind == "metrics" else {}

    @property
    def step(self) -> int | None:
        """The optimizer step of `metrics` or of a checkpoint."""
        return int(self.body["step"]) if self.kind in ("metrics", "checkpoint") else None

    @property
    def message(self) -> str | None:
        """A line for people (kinds `log` and `end`)."""
        return str(self.body["message"]) if self.kind in ("log", "end") else None

    def __repr__(self) -> str:
        return f"Event({self.id}, {self.kind!r}, {self.body})"

    __str__ = __repr__
