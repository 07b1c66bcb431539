"""Scans made by hand: what the outputs are held against."""

from __future__ import annotations

from test_framework.migration.model import Category, FileReport, Form, MockUse, TreeReport

HOSTILE = "tests/<script>alert(1)</script>\"'&\n::error::x,y%\x1b[31m\u202e.py"


def use(path: str, line: int = 1, **values: object) -> MockUse:
    """A use with something sensible in every field that is not given."""
    fields: dict[str, object] = {
        "column": 4,
        "end_line": line,
        "kind": "Mock",
        "form": Form.CALL,
        "target": "app.db.pool",
        "category": Category.DATABASE,
        "evidence": "fetchrow is awaited on it",
        "scope": "test_it",
        "rewritable": False,
    } | values
    return MockUse(path=path, line=line, **fields)  # type: ignore[arg-type] # the fields are checked at run time


def file(path: str, *uses: MockUse, tests: int = 2, lines: int = 40, error: str | None = None) -> FileReport:
    return FileReport(path, uses, tests=tests, lines=lines, error=error)


def tree(*files: FileReport, root: str = "/project") -> TreeReport:
    return TreeReport(root=root, files=tuple(files), version="1")


def mocks(path: str, number: int, **values: object) -> FileReport:
    """A file of ``number`` like uses, one per line."""
    return file(path, *(use(path, line, **values) for line in range(1, number + 1)))


def varied(root: str = "/project") -> TreeReport:
    """Every category, several kinds, a fixture used elsewhere, a hostile name, files broken or without mocks."""
    other = [category for category in Category if category is not Category.DATABASE]
    return tree(
        file(
            "tests/conftest.py",
            use("tests/conftest.py", 5, kind="fixture", form=Form.FIXTURE, target="fake_db", rewritable=True),
            tests=0,
        ),
        file(
            "tests/test_users.py",
            use("tests/test_users.py", 9, kind="fixture", form=Form.PARAMETER, target="fake_db", rewritable=True),
            use("tests/test_users.py", 14, kind="fixture", form=Form.PARAMETER, target="fake_db", rewritable=True),
        ),
        file(
            "tests/test_all.py",
            *(use("tests/test_all.py", 3 * n, category=category, kind="patch") for n, category in enumerate(other, 1)),
            use("tests/test_all.py", 90, kind="patch.object", form=Form.DECORATOR, end_line=93),
            use("tests/test_all.py", 95),
            tests=11,
        ),
        file("tests/test_time.py", use("tests/test_time.py", 2, kind="freezegun", category=Category.TIME)),
        file(
            HOSTILE,
            use(HOSTILE, 7, target="</script><img src=x onerror=alert(2)>", evidence="<b>bold</b>", scope="a\nb"),
        ),
        file("tests/test_broken.py", tests=0, lines=0, error="SyntaxError: <invalid> syntax (line 3)"),
        file("tests/test_real.py"),
        root=root,
    )
