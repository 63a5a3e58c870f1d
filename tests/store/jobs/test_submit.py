"""Submitting: a job that fits is queued; one that does not is refused with code and pointer."""

from typing import Any

import pytest
from sqlalchemy import select

from distillery.store import jobs
from distillery.store.catalog import catalog
from distillery.store.db.database import Database
from distillery.store.db.tables import Job, Transition
from distillery.store.errors import CodedError, Conflict, Invalid, NotReady
from distillery.wire.states import State
from tests.store.makers import TENANT, add_dataset, add_model, spec_of

FIT = [{"method": "fitnet"}]


def test_a_job_that_fits_is_queued_with_its_first_transition(database: Database) -> None:
    with database.write() as s:
        spec = spec_of(add_dataset(s), add_model(s))
        job = jobs.submit(s, TENANT, spec)
    assert (job.state, job.task, job.name) == (State.QUEUED, "distill", "resnet8 by kd")
    with database.read() as s:
        assert jobs.get(s, TENANT, job.id).spec == spec.model_dump(mode="json")
        first = s.scalars(select(Transition)).one()
        assert (first.source, first.target, first.attempt) == (None, "queued", 0)


def refused(database: Database, spec: Any) -> tuple[str, str | None]:
    """The error's code and pointer; nothing may be left behind."""
    with pytest.raises(CodedError) as caught, database.write() as s:
        jobs.submit(s, TENANT, spec)
    with database.read() as s, pytest.raises(type(caught.value)):
        jobs.estimate(s, TENANT, spec)
    with database.read() as s:
        assert s.scalars(select(Job)).all() == []
    return caught.value.code, caught.value.pointer


def test_what_does_not_exist_is_refused(database: Database) -> None:
    with database.write() as s:
        here, foreign = add_dataset(s), add_dataset(s, tenant="other")
        teacher, strange = add_model(s), add_model(s, tenant="other")
    assert refused(database, spec_of(foreign)) == ("unknown_dataset", "/dataset")
    two = spec_of(here, teacher, strange)
    assert refused(database, two) == ("unknown_model", "/teachers/1/model")
    student = {"architecture": "resnet20", "initial_model": strange.id}
    first = spec_of(here, student=student)
    assert refused(database, first) == ("unknown_model", "/student/initial_model")
    student = {"architecture": "resnet21"}
    wrong = spec_of(here, student=student)
    assert refused(database, wrong) == ("unknown_architecture", "/student/architecture")


def test_what_is_not_ready_or_rejected_is_refused(database: Database) -> None:
    with database.write() as s:
        here = add_dataset(s)
        young = add_model(s, state="inspecting")
        bad = add_model(s, state="rejected", error={"message": "weights do not fit"})
    with pytest.raises(NotReady), database.write() as s:
        jobs.submit(s, TENANT, spec_of(here, young))
    assert refused(database, spec_of(here, young)) == ("not_ready", "/teachers/0/model")
    assert refused(database, spec_of(here, bad)) == ("rejected", "/teachers/0/model")


def test_labels_classes_and_channels_must_fit(database: Database) -> None:
    with database.write() as s:
        plain, five = add_dataset(s), add_dataset(s, num_classes=5)
        bare = add_dataset(s, labelled=False, num_classes=None)
        four = add_dataset(s, channels=4)
        teacher, hundred = add_model(s), add_model(s, num_classes=100)
    stages = [{"epochs": 1, "objectives": [{"method": "kd"}, {"method": "hard_target"}]}]
    assert refused(database, spec_of(bare, teacher, stages=stages)) == (
        "dataset_without_labels",
        "/stages/0/objectives/1",
    )
    place, code = "/stages/0/objectives/0", "class_count_mismatch"
    assert refused(database, spec_of(five, teacher)) == (code, place)
    assert refused(database, spec_of(plain, teacher, hundred)) == (code, place)
    assert refused(database, spec_of(bare, teacher, hundred)) == (code, place)
    assert refused(database, spec_of(four, teacher)) == ("channels_mismatch", "/teachers/0/model")


def test_fitting_without_labels_or_with_other_classes(database: Database) -> None:
    """Soft labels need no labels, hints no equal class count, grey images a colour teacher."""
    with database.write() as s:
        bare = add_dataset(s, labelled=False, num_classes=None, channels=3)
        teacher, hundred = add_model(s, channels=1), add_model(s, num_classes=100)
        jobs.submit(s, TENANT, spec_of(bare, teacher))
        jobs.submit(
            s, TENANT, spec_of(add_dataset(s), hundred, stages=[{"epochs": 1, "objectives": FIT}])
        )


def test_taps_must_exist_in_every_teacher(database: Database) -> None:
    hint = {"method": "fitnet", "hint": {"module": "layer3"}}
    stages = [{"epochs": 1, "objectives": FIT}, {"epochs": 1, "objectives": [hint]}]
    with database.write() as s:
        here, teacher = add_dataset(s), add_model(s)
        deep, unknown = add_model(s, modules=["layer3"]), add_model(s, modules=None)
    spec = spec_of(here, deep, teacher, stages=stages)
    with pytest.raises(Invalid, match="did you mean layer"), database.write() as s:
        jobs.submit(s, TENANT, spec)
    assert refused(database, spec) == ("tap_not_found", "/stages/1/objectives/0/hint")
    with database.write() as s:
        jobs.submit(s, TENANT, spec_of(here, deep, unknown, stages=stages))


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_taps_of_map_methods_point_at_their_place(database: Database, side: str) -> None:
    taps = {f"{side}_taps": [{"module": "layer1"}, {"module": "layer9"}]}
    with database.write() as s:
        here, teacher = add_dataset(s, channels=3), add_model(s)
    spec = spec_of(
        here,
        teacher,
        student={"architecture": "resnet20", "initial_model": teacher.id},
        stages=[{"epochs": 1, "objectives": [{"method": "at", **taps}]}],
    )
    pointer = f"/stages/0/objectives/0/{side}_taps/1"
    assert refused(database, spec) == ("tap_not_found", pointer)


def test_a_method_needs_enough_classes_and_samples(database: Database) -> None:
    def stages(method: str) -> list[dict[str, Any]]:
        return [{"epochs": 1, "objectives": [{"method": "hard_target"}, {"method": method}]}]

    with database.write() as s:
        binary, here = add_dataset(s, num_classes=2), add_dataset(s)
        two, ten = add_model(s, num_classes=2), add_model(s)
    place = "/stages/0/objectives/1"
    spec = spec_of(binary, two, stages=stages("dkd"))
    assert refused(database, spec) == ("too_few_classes", place)
    for method, batch in (("dist", 1), ("sp", 1), ("pkt", 1), ("cc", 1), ("rkd", 2), ("crd", 1)):
        spec = spec_of(here, ten, stages=stages(method), data={"batch_size": batch})
        assert refused(database, spec) == ("batch_too_small", place)
    few = spec_of(here, ten, stages=stages("rkd"), data={"train_limit": 2})
    assert refused(database, few) == ("batch_too_small", place)


def test_fsp_needs_networks_of_one_width(database: Database) -> None:
    stages = [{"epochs": 1, "objectives": [{"method": "fsp"}, {"method": "hard_target"}]}]
    with database.write() as s:
        here, teacher = add_dataset(s), add_model(s)  # a resnet20
    wide = spec_of(here, teacher, student={"architecture": "resnet8x4"}, stages=stages)
    both = r"64, 128, 256.*16, 32, 64.*use at, sp or reviewkd"
    with pytest.raises(Invalid, match=both), database.write() as s:
        jobs.submit(s, TENANT, wide)
    assert refused(database, wide) == ("fsp_channels", "/stages/0/objectives/0")
    for architecture in ("resnet8", "timm/resnet10t"):  # the other is looked at as the run starts
        with database.write() as s:
            student = {"architecture": architecture}
            jobs.submit(s, TENANT, spec_of(here, teacher, student=student, stages=stages))


def test_initial_weights_must_fit_the_student(database: Database) -> None:
    with database.write() as s:
        here = add_dataset(s, channels=3)
        model, wide = add_model(s), add_model(s, num_classes=100)
    other = {"architecture": "resnet8", "initial_model": model.id}
    assert refused(database, spec_of(here, student=other)) == (
        "weights_mismatch",
        "/student/initial_model",
    )
    student = {"architecture": "resnet20", "initial_model": wide.id}
    assert refused(database, spec_of(here, student=student))[0] == "weights_mismatch"
    guided = [{"method": "fitnet", "guided": {"module": "nowhere"}}]
    spec = spec_of(
        here,
        model,
        student={"architecture": "resnet20", "initial_model": model.id},
        stages=[{"epochs": 1, "objectives": guided}],
    )
    assert refused(database, spec) == ("tap_not_found", "/stages/0/objectives/0/guided")


def test_padding_cannot_shrink(database: Database) -> None:
    with database.write() as s:
        here = add_dataset(s)
    spec = spec_of(here, data={"pad_to": [32, 20]})
    assert refused(database, spec) == ("bad_pad", "/data/pad_to")


def test_what_an_unfinished_job_needs_is_not_deleted(database: Database) -> None:
    with database.write() as s:
        dataset, teacher, spare = add_dataset(s), add_model(s), add_model(s)
        job = jobs.submit(s, TENANT, spec_of(dataset, teacher))
        catalog.delete_model(s, TENANT, spare.id)
        for delete, item in (
            (catalog.delete_model, teacher.id),
            (catalog.delete_dataset, dataset.id),
        ):
            with pytest.raises(Conflict) as caught:
                delete(s, TENANT, item)
            assert caught.value.code == "in_use" and job.id in caught.value.message
    with database.write() as s:
        jobs.request_cancel(s, TENANT, job.id)
        catalog.delete_model(s, TENANT, teacher.id)
        catalog.delete_dataset(s, TENANT, dataset.id)
