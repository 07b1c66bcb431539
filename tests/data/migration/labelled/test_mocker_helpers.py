from pytest_mock import MockerFixture


def replace_store(mocker):
    return mocker.patch("notes.store.redis")


def replace_with_type(m: MockerFixture, name):
    return m.patch.object(m.MagicMock(), name)


class TestNotes:
    def test_alias(self, mocker: MockerFixture) -> None:
        patch = mocker.patch
        patch("notes.llm.anthropic.Anthropic")
        with mocker.patch("notes.db.engine"):
            replace_store(mocker)

    def test_spec(self, mocker: MockerFixture) -> None:
        from pathlib import Path

        path = mocker.create_autospec(Path)
        path.read_text.return_value = "x"
