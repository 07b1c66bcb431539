"""The answer to signing up or in: the body as a dict, with the face of a response."""

from __future__ import annotations

from typing import Any

import httpx

__all__ = ["AuthAnswer"]


class AuthAnswer(dict[str, Any]):
    """``answer["access_token"]`` as well as ``answer.status_code``. Its ``repr`` shows no token."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(_body_of(response))
        self.response = response

    @property
    def status_code(self) -> int:
        return self.response.status_code

    @property
    def is_success(self) -> bool:
        return self.response.is_success

    @property
    def headers(self) -> httpx.Headers:
        return self.response.headers

    @property
    def text(self) -> str:
        return self.response.text

    def json(self) -> dict[str, Any]:
        return dict(self)

    def raise_for_status(self) -> AuthAnswer:
        """Raise ``httpx.HTTPStatusError`` unless it succeeded."""
        self.response.raise_for_status()
        return self

    def __repr__(self) -> str:
        shown = {name: "***" if "token" in name and isinstance(self[name], str) else self[name] for name in self}
        return f"<{self.status_code} {shown!r}>"


def _body_of(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {"detail": response.text} if response.text else {}
    return found if isinstance(found, dict) else {"items": found}
