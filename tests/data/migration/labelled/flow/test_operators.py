"""Operators and hooks of a scheduler."""
from unittest import mock
from unittest.mock import ANY, DEFAULT

import pytest

from flow.operators.sql import SqlOperator

MODULE = "flow.operators.sql"
HOOK = MODULE + ".PostgresHook"


class TestSqlOperator:
    def setup_method(self):
        self.dag = object()

    @mock.patch(HOOK)
    @mock.patch("%s.time.sleep" % MODULE)
    @mock.patch("{}.requests.Session".format(MODULE))
    def test_execute(self, mock_session, mock_sleep, mock_hook):
        mock_hook.return_value.get_records.return_value = [(1,)]
        SqlOperator(sql="SELECT 1").execute({})
        mock_hook.assert_called_once_with(ANY)

    @mock.patch.dict("os.environ", FLOW_HOME="/x")
    @mock.patch(f"{MODULE}.conf.get", side_effect=lambda *a: DEFAULT)
    def test_configuration(self, conf_get):
        conf_get.return_value = "x"

    @pytest.mark.parametrize("hook", [mock.MagicMock(), None])
    def test_parametrized(self, hook):
        assert hook is None or hook


@mock.patch(f"{MODULE}.subprocess.Popen", autospec=True)
class TestBash:
    def test_one(self, popen):
        popen.assert_not_called()
