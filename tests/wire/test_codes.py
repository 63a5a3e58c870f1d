"""The four catalogues are one: no code stands in two, and every one is explained."""

from http import HTTPStatus

import pytest

from distillery.wire.codes import CATALOGUE, next_step
from distillery.wire.job_codes import JobCode, WaitReason
from distillery.wire.request_codes import RequestCode
from kdcore.spec.codes import ErrorCode, RunCode
from kdcore.spec.spec_codes import SpecCode


def test_no_code_is_in_two_catalogues() -> None:
    catalogues = (RequestCode, SpecCode, RunCode, JobCode)
    assert len(CATALOGUE) == sum(len(catalogue) for catalogue in catalogues)


@pytest.mark.parametrize("code", CATALOGUE.values())
def test_a_code_is_its_name_and_is_explained(code: ErrorCode) -> None:
    assert code == code.name.lower() == f"{code}"
    for sentence in (code.meaning, code.next_step):
        assert sentence[0].isupper() or sentence[0] in "`fsm"
        assert sentence.endswith(".")
    assert code.status is None or HTTPStatus(code.status).value >= 400


@pytest.mark.parametrize("code", RequestCode)
def test_a_request_is_refused_with_a_status(code: RequestCode) -> None:
    assert code.status is not None or code is RequestCode.UNEXPECTED_ANSWER


def test_a_code_of_another_version_has_no_next_step() -> None:
    assert next_step("diverged") == RunCode.DIVERGED.next_step
    assert next_step("invented_later") is None


def test_waiting_is_explained_and_says_what_to_do_where_something_helps() -> None:
    assert all(reason == reason.name.lower() and reason.meaning for reason in WaitReason)
    idle = {reason for reason in WaitReason if reason.next_step is None}
    assert idle == {WaitReason.BACKOFF, WaitReason.CAPACITY}
