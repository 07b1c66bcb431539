"""One thing that was looked at: what ``doctor`` and ``validate`` are made of."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """``ok`` is ``None`` for a fact that is neither right nor wrong. ``fix`` is what to type when it is wrong."""

    name: str
    ok: bool | None
    found: str
    fix: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
