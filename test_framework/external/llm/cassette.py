"""Recordings: what was asked and answered, one readable file for each test, made to be committed."""

from __future__ import annotations

import difflib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from test_framework.errors import SettingsError
from test_framework.external.llm.errors import CassetteMismatch
from test_framework.external.llm.scrubbing import Scrubber

__all__ = ["Cassette", "Interaction", "Request", "cassette_name"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

VERSION = 1
_SAFE = re.compile(r"[^A-Za-z0-9_.\-]+")
_LONGEST = 100


@dataclass(frozen=True)
class Request:
    """What was asked, without secrets. Equal requests get equal answers.

    Args:
        path: below the endpoint's base address, with the query.
        body: as JSON has it.
    """

    method: str
    path: str
    body: Any = None

    @property
    def text(self) -> str:
        """One line for each value, the same for equal requests."""
        return f"{self.method} {self.path}\n" + json.dumps(self.body, indent=2, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Interaction:
    """A request and its answer: ``body`` as JSON has it, ``events`` of a stream, or ``text`` of anything else."""

    request: Request
    status: int
    content_type: str = "application/json"
    body: Any = None
    events: Sequence[Any] | None = None
    text: str | None = None

    def as_dict(self) -> dict[str, Any]:
        response: dict[str, Any] = {"status": self.status, "content_type": self.content_type}
        for name in ("body", "events", "text"):
            if (value := getattr(self, name)) is not None:
                response[name] = value
        request = {"method": self.request.method, "path": self.request.path, "body": self.request.body}
        return {"request": request, "response": response}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Interaction:
        return cls(Request(**values["request"]), **values["response"])


@dataclass
class Cassette:
    """The recording of one test. Requests are found by what they ask, not by their order; each is given once.

    Args:
        path: its file.
        test: whose it is, for people.
        scrubber: takes secrets out of everything that is written down.
    """

    path: Path
    test: str
    scrubber: Scrubber = field(default_factory=Scrubber)
    interactions: list[Interaction] = field(default_factory=list)
    _left: list[Interaction] = field(default_factory=list)

    @property
    def recorded(self) -> bool:
        """Whether there is a file to replay."""
        return self.path.is_file()

    def load(self) -> None:
        """Read the file, for replay.

        Raises:
            SettingsError: it is no recording of ours.
        """
        try:
            found = yaml.safe_load(self.path.read_text("utf-8"))
            if found["version"] != VERSION:
                raise ValueError(f"version {found['version']!r} is not {VERSION}")
            self.interactions = [Interaction.from_dict(each) for each in found["interactions"]]
        except (yaml.YAMLError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"the recording {self.path.name} cannot be read",
                where=str(self.path),
                cause=str(error),
                fix="delete it and record it again, or take the committed one back",
            ) from error
        self._left = list(self.interactions)

    def request(self, method: str, path: str, body: Any) -> Request:
        """What is compared and written down: no secret is in it."""
        return Request(method, self.scrubber.text(path), self.scrubber.value(body))

    def add(self, interaction: Interaction) -> None:
        """Note an answer, without its secrets."""
        scrub = self.scrubber
        self.interactions.append(
            Interaction(
                interaction.request,
                interaction.status,
                interaction.content_type,
                scrub.value(interaction.body),
                None if interaction.events is None else scrub.value(list(interaction.events)),
                None if interaction.text is None else scrub.text(interaction.text),
            )
        )

    def find(self, request: Request) -> Interaction:
        """The next recorded answer to ``request``.

        Raises:
            CassetteMismatch: there is none left; the message shows the request that comes nearest.
        """
        for interaction in self._left:
            if interaction.request == request:
                self._left.remove(interaction)
                return interaction
        raise self._mismatch(request)

    def save(self) -> None:
        """Write everything down, in one step."""
        document = {
            "version": VERSION,
            "test": self.test,
            "interactions": [interaction.as_dict() for interaction in self.interactions],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        new.write_text(yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120), "utf-8")
        new.replace(self.path)

    def _mismatch(self, request: Request) -> CassetteMismatch:
        used = sum(each.request == request for each in self.interactions)
        if used:
            cause = f"it was recorded {used} times, and is asked once more"
        elif not self.interactions:
            cause = "the recording is empty"
        else:
            cause = "the nearest recorded request differs:\n" + self._nearest_difference(request)
        return CassetteMismatch(
            f"{request.method} {request.path} is not in the recording of {self.test}",
            where=str(self.path),
            cause=cause,
            fix="record it again: delete the file, or run once with --llm-record and TEST_LLM_API_KEY set",
        )

    def _nearest_difference(self, request: Request) -> str:
        def likeness(each: Interaction) -> float:
            return difflib.SequenceMatcher(None, each.request.text, request.text, autojunk=False).ratio()

        nearest = max(self.interactions, key=likeness).request
        lines = difflib.unified_diff(
            nearest.text.splitlines(), request.text.splitlines(), "recorded", "asked", lineterm="", n=2
        )
        return "\n".join(f"    {line}" for line in lines)


class _Dumper(yaml.SafeDumper):
    """Text with line breaks as a block, lists of numbers (embeddings) on as few lines as they fill."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    numbers = bool(data) and all(isinstance(each, int | float) for each in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=numbers)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def cassette_name(test: str) -> str:
    """A file name for a test's name, parameters included; different tests get different ones on any file system."""
    plain = _SAFE.sub("-", test)[:_LONGEST].strip("-")
    if plain == test and plain == plain.lower():
        return f"{plain}.yaml"
    return f"{plain}-{sha256(test.encode()).hexdigest()[:8]}.yaml"
