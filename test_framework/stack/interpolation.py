"""``${NAME:-default}`` as Compose understands it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from test_framework.errors import SettingsError

__all__ = ["interpolate"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


def interpolate(text: str, variables: Mapping[str, str], where: str) -> str:
    """Replace ``$NAME``, ``${NAME}`` and the forms with ``:-``, ``-``, ``:?``, ``?``, ``:+``, ``+``; ``$$`` is ``$``.

    Defaults may hold further variables. ``where`` names the file, line and key for errors.

    Raises:
        SettingsError: a required variable is unset, or the expression cannot be parsed.
    """
    result, position = [], 0
    while (dollar := text.find("$", position)) >= 0:
        result.append(text[position:dollar])
        following = text[dollar + 1 : dollar + 2]
        if following == "$":
            result.append("$")
            position = dollar + 2
        elif following == "{":
            end = _closing_brace(text, dollar + 2, where)
            result.append(_expand(text[dollar + 2 : end], variables, where))
            position = end + 1
        elif match := _NAME.match(text, dollar + 1):
            result.append(variables.get(match.group(), ""))
            position = match.end()
        else:
            raise _malformed(text, where)
    return "".join([*result, text[position:]])


def _closing_brace(text: str, start: int, where: str) -> int:
    depth = 1
    position = start
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
            position += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise _malformed(text, where)


def _expand(expression: str, variables: Mapping[str, str], where: str) -> str:
    match = _NAME.match(expression)
    if not match:
        raise _malformed("${" + expression + "}", where)
    name, rest = match.group(), expression[match.end() :]
    value = variables.get(name)
    if not rest:
        return value or ""
    operator = next((each for each in _OPERATORS if rest.startswith(each)), None)
    if operator is None:
        raise _malformed("${" + expression + "}", where)
    word = rest[len(operator) :]
    present = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return interpolate(word, variables, where) if present else ""
    if present:
        return value or ""
    if operator.endswith("?"):
        raise SettingsError(
            f"the required variable {name} is not set" + (f": {interpolate(word, variables, where)}" if word else ""),
            where=where,
            fix=f"set {name} in the environment or in .env.test",
        )
    return interpolate(word, variables, where)


def _malformed(text: str, where: str) -> SettingsError:
    return SettingsError(
        f"{text!r} is not a valid variable expression",
        where=where,
        fix="write ${NAME}, ${NAME:-default} or ${NAME:?message}; a literal dollar is $$",
    )
