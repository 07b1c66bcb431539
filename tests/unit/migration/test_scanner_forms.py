"""One law a form: what a use is, how it is used, what it replaces and where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.migration.model import Category, FileReport, Form, MockUse
from test_framework.migration.scanner import scan, scan_source


def report_of(source: str) -> FileReport:
    report = scan_source(source, "tests/test_module.py")
    assert report.error is None
    return report


def only(source: str) -> MockUse:
    (use,) = report_of(source).uses
    return use


IMPORTS = "import pytest\nfrom unittest import mock\nfrom unittest.mock import *\n"


@pytest.mark.parametrize(
    ("code", "form"),
    [
        ("@patch('a.b')\ndef test_a(b): ...", Form.DECORATOR),
        ("@mock.patch.object(dict, 'get')\nclass TestA: ...", Form.DECORATOR),
        ("p = patch('a.b')\n@p\ndef test_a(b): ...", Form.DECORATOR),
        ("with patch('a.b'): ...", Form.CONTEXT),
        ("async def test_a():\n    async with patch('a.b') as b: ...", Form.CONTEXT),
        ("p = patch('a.b')\nwith p: ...", Form.CONTEXT),
        ("stack.enter_context(patch('a.b'))", Form.CONTEXT),
        ("patch('a.b').start()", Form.STARTED),
        ("p = patch('a.b')\np.start()", Form.STARTED),
        ("ps = [patch('a.b')]\nfor p in ps:\n    p.start()", Form.STARTED),
        ("ps = [patch('a.b')]\n[p.start() for p in ps]", Form.STARTED),
        ("class T:\n    def setUp(self):\n        self.p = patch('a.b')\n        self.p.start()", Form.STARTED),
        ("x = Mock()", Form.CALL),
        ("x = sentinel.thing", Form.REFERENCE),
        ("class A(MagicMock): ...", Form.SUBCLASS),
    ],
)
def test_a_patch_knows_how_it_is_put_in_place(code: str, form: Form) -> None:
    assert only(IMPORTS + code + "\n").form is form


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("patch('app.db.connect')", "app.db.connect"),
        ("patch(target='app.db.connect')", "app.db.connect"),
        ("patch(f'{BASE}.connect')", "app.db.connect"),
        ("patch(BASE + '.connect')", "app.db.connect"),
        ("patch('%s.connect' % BASE)", "app.db.connect"),
        ("patch('{}.connect'.format(BASE))", "app.db.connect"),
        ("patch(f'{unknown()}.connect')", "*.connect"),
        ("patch.object(store, 'connect')", "app.store.connect"),
        ("patch.object(alias.Client, 'get')", "app.client.Client.get"),
        ("patch.dict(os.environ, {})", "os.environ"),
        ("patch.multiple('app.db', connect=1)", "app.db.connect"),
    ],
)
def test_the_target_is_the_dotted_name_of_what_is_replaced(code: str, target: str) -> None:
    head = "import os\nimport app.client as alias\nfrom app import store\nBASE = 'app.db'\n"
    assert only(IMPORTS + head + code + "\n").target == target


def test_a_mock_is_called_by_the_name_that_holds_it() -> None:
    uses = report_of(IMPORTS + "db = Mock()\nself.cache = Mock()\nx['redis'] = Mock()\nf(socket=Mock())\n").uses
    assert [use.target for use in uses] == ["db", "self.cache", "redis", "socket"]


def test_the_scope_is_the_test_that_a_decorator_decorates() -> None:
    source = IMPORTS + "class TestA:\n    @patch('a.b')\n    def test_a(self, b):\n        x = Mock()\n"
    assert [use.scope for use in report_of(source).uses] == ["TestA.test_a", "TestA.test_a"]


def test_the_names_of_stacked_decorators_parameters_go_to_the_lowest_first() -> None:
    source = IMPORTS + "@patch('a.one')\n@patch('a.two')\ndef test_a(mock_redis, mock_websocket): ...\n"
    categories = {use.target: use.category for use in report_of(source).uses}
    assert categories == {"a.one": Category.WEBSOCKET, "a.two": Category.REDIS}


@pytest.mark.parametrize(
    "code",
    [
        "x: Mock = None",
        "def f(a: Mock) -> MagicMock: ...",
        "isinstance(x, Mock)",
        "x.return_value = 3",
        "x.assert_called_once_with(1)",
        "patch.stopall()",
        "x = mock.ANY, mock.DEFAULT",
        "'Mock()'",
        "# Mock()",
        "def f(patch):\n    patch('x')",
        "def f():\n    Mock = dict\n    Mock()",
        "for Mock in things:\n    Mock()\n",
        "lambda Mock: Mock()",
        "[Mock() for Mock in things]",
        "class A:\n    def patch(self): ...\nA().patch('x')",
    ],
)
def test_what_only_looks_like_a_mock_is_none(code: str) -> None:
    assert report_of(IMPORTS + code + "\n").uses == ()


def test_a_redefinition_counts_from_where_it_stands() -> None:
    source = "from unittest.mock import Mock\na = Mock()\nMock = dict\nb = Mock()\n"
    assert [use.line for use in report_of(source).uses] == [2]


def test_a_name_given_to_the_module_by_a_function_is_followed() -> None:
    source = "def load():\n    global mock\n    from unittest import mock\ndef test_a():\n    mock.Mock()\n"
    assert only(source).line == 5


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("app.db.connection", Category.DATABASE),
        ("app.cache.redis_client", Category.REDIS),
        ("app.warehouse.clickhouse_client", Category.CLICKHOUSE),
        ("app.chat.websocket", Category.WEBSOCKET),
        ("app.weather.requests.get", Category.HTTP),
        ("app.reports.shutil.copyfile", Category.FILESYSTEM),
        ("app.assistant.openai.OpenAI", Category.LLM),
        ("app.jobs.time.sleep", Category.TIME),
        ("os.environ", Category.ENVIRONMENT),
        ("app.mail.logger", Category.OTHER),
        ("app.db.logger", Category.OTHER),
        ("app.redis.time.time", Category.TIME),
        ("app.reserved_requests", Category.OTHER),
    ],
)
def test_the_end_of_a_target_says_what_it_is(name: str, category: Category) -> None:
    assert only(IMPORTS + f"patch('{name}')\n").category is category


def test_an_unnamed_client_is_what_the_file_imports() -> None:
    source = (
        "import redis\nfrom unittest.mock import Mock\n\n\ndef test_a():\n    client = Mock()\n    thing = Mock()\n"
    )
    assert [use.category for use in report_of(source).uses] == [Category.REDIS, Category.OTHER]


def test_what_is_asked_of_a_mock_says_what_it_is() -> None:
    source = IMPORTS + "def test_a():\n    thing = Mock()\n    thing.zadd('a', {})\n"
    use = only(source)
    assert (use.category, use.evidence) == (Category.REDIS, "zadd is used on it")


def test_a_spec_weighs_more_than_a_name() -> None:
    assert only(IMPORTS + "import redis\nconnection = Mock(spec=redis.Redis)\n").category is Category.REDIS


def test_a_fixture_of_its_own_name_takes_the_one_it_overrides(tmp_path: Path) -> None:
    fixture = "import pytest\nfrom unittest.mock import Mock\n\n\n@pytest.fixture\ndef db({}):\n    return {}\n"
    (tmp_path / "conftest.py").write_text(fixture.format("", "Mock()"))
    (tmp_path / "test_a.py").write_text(fixture.format("db", "db") + "\n\ndef test_a(db): ...\n")
    uses = {file.path: [use.form for use in file.uses] for file in scan([tmp_path]).files}
    assert uses["test_a.py"] == [Form.FIXTURE, Form.PARAMETER, Form.PARAMETER]


def test_fixtures_that_ask_each_other_in_a_circle_are_no_mocks() -> None:
    source = "import pytest\n@pytest.fixture\ndef a(b):\n    return b\n@pytest.fixture\ndef b(a):\n    return a\n"
    assert report_of(source + "def test_a(a, b): ...\n").uses == ()


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("from two import Mock\nx = Mock()\n")
    (tmp_path / "two.py").write_text("from one import *\nfrom one import Mock\n")
    assert scan([tmp_path]).uses == ()


def test_tests_are_counted_in_test_files_only() -> None:
    source = "def test_a(): ...\nclass TestB:\n    def test_b(self): ...\n    def helper(self): ...\n"
    assert scan_source(source, "tests/test_a.py").tests == 2
    assert scan_source(source, "app/views.py").tests == 0


def test_a_rewritable_use_is_of_a_kind_of_service_that_the_stack_has() -> None:
    uses = report_of(IMPORTS + "db = Mock()\nclock = Mock()\nwith patch('app.redis_client'): ...\n").uses
    assert [(use.category.value, use.rewritable) for use in uses] == [
        ("database", True), ("time", False), ("redis", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("from helpers.async_mock import patch", 1),  # a module of another package, called after what it brings
        ("from elsewhere import AsyncMock as patch", 1),
        ("from versions import patch", 0),
        ("from elsewhere import call as patch", 0),
    ],
)
def test_a_name_of_a_module_that_is_not_there_counts_when_it_can_mean_nothing_else(line: str, count: int) -> None:
    assert len(report_of(f"{line}\npatch('a.b')\n").uses) == count
