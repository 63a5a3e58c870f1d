"""Every code of the catalogue says what it means and what to do next."""

from http import HTTPStatus

import pytest

from kdcore.spec.codes import Exit, RunCode


@pytest.mark.parametrize("code", RunCode)
def test_a_code_is_its_name_and_is_explained(code: RunCode) -> None:
    assert code == code.name.lower() == f"{code}"
    for sentence in (code.meaning, code.next_step):
        assert sentence[0].isalnum() or sentence[0] == "`"
        assert sentence.endswith(".")
    assert isinstance(code.exit, Exit) and code.exit is not Exit.OK
    assert code.status in {None, HTTPStatus.BAD_REQUEST, 422, HTTPStatus.INSUFFICIENT_STORAGE}


def test_no_two_codes_mean_the_same() -> None:
    assert len({code.meaning for code in RunCode}) == len(RunCode)
