"""Variable expressions mean what Compose says they mean."""

from __future__ import annotations

import pytest

from test_framework.errors import SettingsError
from test_framework.stack.interpolation import interpolate

VARIABLES = {"SET": "value", "EMPTY": "", "OTHER": "other"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$SET-x", "value-x"),
        ("${SET}", "value"),
        ("${UNSET}", ""),
        ("${SET:-d}", "value"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${UNSET-d}", "d"),
        ("${UNSET:-${OTHER}}", "other"),
        ("${UNSET:-${ALSO:-deep}}x", "deepx"),
        ("${SET:+yes}", "yes"),
        ("${EMPTY:+yes}", ""),
        ("${EMPTY+yes}", "yes"),
        ("${UNSET:-127.0.0.1:5432}", "127.0.0.1:5432"),
        ("$$SET costs $$5", "$SET costs $5"),
        ("${SET:?needed}", "value"),
    ],
)
def test_expression_has_composes_meaning(text: str, expected: str) -> None:
    assert interpolate(text, VARIABLES, "file:1") == expected


@pytest.mark.parametrize("text", ["${EMPTY:?say why}", "${UNSET?say why}", "${UNSET:?say why}"])
def test_required_variable_that_is_missing_is_named_with_its_reason(text: str) -> None:
    with pytest.raises(SettingsError, match=r"required variable (EMPTY|UNSET) is not set: say why\n  where: file:1"):
        interpolate(text, VARIABLES, "file:1")


@pytest.mark.parametrize("text", ["${", "${SET", "${}", "${1A}", "${SET!x}", "a $ b", "$", "${SET:-${OTHER}"])
def test_malformed_expression_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(SettingsError, match=r"not a valid variable expression\n  where: file:7"):
        interpolate(text, VARIABLES, "file:7")
