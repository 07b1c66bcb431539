"""What the documentation names exists: commands, options, targets, ini values, markers, fixtures, messages, files."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

import test_framework.plugin as plugin
from test_framework.cli.commands import cli
from tests.docs.markdown import GUIDES, Page, guides, pages
from tests.native_stack import CHECKOUT
from tests.plugin.harness import STRANGERS

_SHELLS = ("shell", "sh", "bash", "console", "yaml")
_COMMAND = re.compile(r"(?:^|[\s\"'`($|])(test-framework|make|pytest)(?= )([^\n`|;&)#]*)", re.MULTILINE)
_WORD = re.compile(r"[a-z][a-z-]*")
_VARIABLE = "…"
# Enough of a message must be fixed text: a template of variables alone would fit everything.
_LEAST = 14
# Not ours: users' own, or of tools that users call.
_OTHERS_PYTEST = {"--junitxml", "--basetemp", "--showlocals", "--full-trace", "--maxfail", "--durations"}


def commands(page: Page) -> Iterator[tuple[str, list[str]]]:
    """Each call of a program of ours that the page shows, in blocks, spans or recipes: program and words."""
    texts = [block.text for block in page.blocks(*_SHELLS, "")] + [f"\n{span}" for span in page.spans()]
    indented = [line.strip() for line in page.prose().splitlines() if line.startswith("    ")]
    for text in [*texts, *(f"\n{line}" for line in indented)]:
        for found in _COMMAND.finditer(text.replace("\\\n", " ")):
            yield found[1], _words(found[2])


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an apostrophe of the prose
        return text.split()


def _options(command: click.Command) -> set[str]:
    parameters = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    return {name for name in parameters if name.startswith("-")} | {"--help"}


def _without_global_options(words: list[str]) -> list[str]:
    rest = list(words)
    while rest and rest[0].split("=")[0] in _options(cli):
        rest = rest[1 if "=" in rest[0] or rest[0] == "--help" else 2 :]
    return rest


def test_every_command_and_option_of_test_framework_exists() -> None:
    wrong, seen = [], 0
    for page in pages():
        for program, words in commands(page):
            if program != "test-framework":
                continue
            rest = _without_global_options(words)
            if not rest or not _WORD.fullmatch(rest[0]):
                continue  # "test-framework COMMAND", or the end of a sentence
            command = cli.commands.get(rest[0])
            seen += 1
            used = {word.split("=")[0].strip("[]") for word in rest[1:] if word.strip("[]").startswith("-")}
            if command is None or not used - {"-", "--"} <= _options(command):
                wrong.append((str(page.path.relative_to(CHECKOUT)), words))
    assert seen > 30
    assert not wrong


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", CHECKOUT.joinpath("Makefile").read_text(), re.MULTILINE))
    wrong, seen = [], 0
    for page in pages():
        for program, words in commands(page):
            if program == "make":
                named = [word for word in words if _WORD.fullmatch(word)]
                seen += len(named)
                wrong += [(str(page.path), name) for name in named if name not in targets]
    assert seen > 10
    assert not wrong


def pytest_help() -> str:
    """What pytest says with this package as its plugin, and without plugins that take seconds to load."""
    without = [word for name in STRANGERS for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *without, "--help"]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def test_every_option_of_pytest_exists() -> None:
    known = set(re.findall(r"(?<![\w-])(--?[a-zA-Z][\w-]*)", pytest_help())) | _OTHERS_PYTEST
    used = {
        (page.name, word.split("=")[0].strip("[]"))
        for page in pages()
        for program, words in commands(page)
        if program == "pytest"
        for word in words
        if word.startswith("-")
    }
    assert used
    assert not {(page, option) for page, option in used if option not in known}


def test_every_ini_value_of_a_guide_is_one_of_pytest(pytestconfig: pytest.Config) -> None:
    names = [
        line.partition("=")[0].strip()
        for page in guides()
        for block in page.blocks("ini")
        for line in block.text.splitlines()
        if "=" in line and not line.startswith((" ", "#"))
    ]
    assert names
    for name in names:
        pytestconfig.getini(name)  # raises for a name that nobody declared


def test_every_marker_that_a_guide_names_exists(pytestconfig: pytest.Config) -> None:
    known = {re.split(r"[:(]", line)[0].strip() for line in pytestconfig.getini("markers")}
    named = {name for page in guides() for name in re.findall(r"pytest\.mark\.(\w+)", page.text)}
    assert named
    assert not named - known


def test_every_fixture_that_a_guide_names_exists() -> None:
    named = {span for page in guides() for span in page.spans() if _FIXTURE.fullmatch(span)}
    assert len(named) > 10
    assert not {name for name in named if not hasattr(plugin, name)} - _SETTINGS


_FIXTURE = re.compile(
    r"(real|isolated|external)_\w+|\w+_(dsn|url|environment)|test_(user|organization|conversation|agent)"
)
_SETTINGS = {"real_services_app", "real_services_env", "real_services_app_services"}


@cache
def messages() -> frozenset[str]:
    """What this package can say: its texts, with … for whatever varies."""
    found = set()
    for file in CHECKOUT.joinpath("test_framework").rglob("*.py"):
        if not {"embedded_clickhouse", "migration"} & set(file.parts):
            found |= {text for node in ast.walk(ast.parse(file.read_text())) if (text := _template(node))}
    return frozenset(found)


def _fixed(template: str) -> int:
    return len(template.replace(_VARIABLE, "").strip())


def _template(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(value) or "" for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return _VARIABLE
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_template(side) for side in (node.left, node.right)]
        return "".join(part or _VARIABLE for part in parts) if any(parts) else None
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in template.split(_VARIABLE)), re.DOTALL)


def quoted_messages() -> list[str]:
    """The first column of the tables whose heading begins with "message"."""
    found, inside = [], False
    for line in (GUIDES / "troubleshooting.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == "message":
            inside = True
        elif inside and not set(cells[0]) <= set("-: "):
            found.append(cells[0])
    return found


def test_every_message_in_the_troubleshooting_is_said_by_the_code_in_these_words() -> None:
    quoted = [re.fullmatch(r"`(.+)`", cell) for cell in quoted_messages()]
    assert len(quoted) > 25
    assert all(quoted)
    assert not [found[1] for found in quoted if found and not is_said(found[1])]


def is_said(message: str) -> bool:
    """Whether one text of the code is this message, or the fixed parts of the message are in texts of the code."""
    if any(_pattern(text).fullmatch(message) for text in messages() if _fixed(text) >= _LEAST):
        return True
    parts = [part.strip(" ():;,") for part in message.split(_VARIABLE)]
    long = [part for part in parts if len(part) >= _LEAST]
    return bool(long) and all(any(part in text for text in messages()) for part in long)


def test_a_message_that_nobody_says_would_be_noticed() -> None:
    assert is_said("the stack 'mine' is not up")
    assert is_said("postgres at … cannot be reached (…)")
    assert not is_said("the stack 'mine' is asleep")
    assert not is_said("postgres at … has gone to sleep (…)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links():
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        file = page.path if not target else (page.path.parent / target).resolve()
        assert file.exists(), f"{page.path}: {link}"
        if anchor:
            assert anchor in anchors(file), f"{page.path}: {link}"


def anchors(file: Path) -> set[str]:
    """As GitHub and GitLab make them from headings."""
    headings = re.findall(r"^#+ (.+)$", Page(file).prose(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_what_a_block_includes_is_the_file_as_it_is() -> None:
    included = [block for page in pages() for block in page.blocks() if block.kind == "include"]
    assert included
    for block in included:
        assert block.text == CHECKOUT.joinpath(block.value).read_text(), f"{block.place} differs from {block.value}"


def test_the_helper_module_documents_every_kind_of_note() -> None:
    text = inspect.getdoc(sys.modules["tests.docs.markdown"]) or ""
    kinds = {block.kind for page in pages() for block in page.blocks()} - {""}
    assert kinds
    assert all(f"<!-- {kind}" in text for kind in kinds)
