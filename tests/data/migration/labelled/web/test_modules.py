import sys
from functools import partial
from unittest.mock import MagicMock, patch

sys.modules["clickhouse_driver"] = MagicMock()
sys.modules.setdefault("websockets", MagicMock())

patch_store = partial(patch.object, dict)


def test_dict_of_modules():
    with patch.dict("sys.modules", {"redis": MagicMock()}):
        pass


def test_setitem(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", MagicMock())


def test_overrides():
    from web.app import app, get_db

    app.dependency_overrides[get_db] = lambda: MagicMock()
    app.state.redis = MagicMock()
