"""Secrets taken out of what is recorded, so that a recording can be committed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["MASK", "Scrubber"]

MASK = "***"
# Below this a "secret" is a word that may stand anywhere for other reasons.
_SHORTEST = 8
# Not a bare "token": models call the pieces of their answers so.
_NAMES = re.compile(
    r"(?i:(^|[-_])(api[-_]?key|apikey|authorization|cookie|credentials?|passwd|password|private[-_]?key|secret)$)"
    r"|(?i:(access|auth|bearer|id|refresh|session)[-_]?token$)"
)
_PARAMETERS = re.compile(rf"{_NAMES.pattern}|(?i:^(key|token|sig|signature)$)")
_SHAPES = (
    re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_\-]{8,}"),
    re.compile(r"\bAIza[0-9A-Za-z_\-]{20,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[opsur]_[A-Za-z0-9]{20,}"),
    re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"),
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/\-]{8,}=*")
_PARAMETER = re.compile(r"([?&;]|^)([^=&;#\s?]+)=([^&;#\s]*)")
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.\-]*://)[^\s/@]+@")


class Scrubber:
    """Puts ``***`` in the place of every secret.

    Args:
        secrets: texts that are secret wherever they stand; those shorter than 8 characters are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if len(secret) >= _SHORTEST}
        self._known = sorted(known, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Known secrets, tokens by their shape, credentials and secret parameters of addresses."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        for shape in _SHAPES:
            text = shape.sub(MASK, text)
        text = _BEARER.sub(rf"\1 {MASK}", text)
        text = _USERINFO.sub(rf"\1{MASK}@", text)
        return _PARAMETER.sub(self._parameter, text) if "=" in text else text

    def value(self, value: Any, name: str = "") -> Any:
        """A JSON value; what stands under the name of a secret is one, whatever it looks like."""
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(each, str(key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.value(each, name) for each in value]
        if isinstance(value, str):
            return MASK if value and _NAMES.search(name) else self.text(value)
        return value

    @staticmethod
    def _parameter(found: re.Match[str]) -> str:
        before, name, _ = found.groups()
        return f"{before}{name}={MASK}" if _PARAMETERS.search(name) else found.group()
