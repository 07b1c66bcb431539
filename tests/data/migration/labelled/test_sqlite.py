import sqlite3

import aiosqlite
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

URL = "sqlite:///:memory:"


@pytest.fixture
def engine():
    return create_engine("sqlite://")


@pytest.fixture
def session(engine):
    with Session(engine) as session:
        yield session


def test_session(session):
    session.commit()


def test_constant():
    assert create_engine(URL, echo=False)
    assert create_async_engine("sqlite+aiosqlite:///:memory:")


async def test_drivers():
    connection = sqlite3.connect(":memory:")
    async with aiosqlite.connect(":memory:") as other:
        assert connection and other


def test_on_disk(tmp_path):
    assert sqlite3.connect(tmp_path / "a.db")
    assert create_engine(f"sqlite:///{tmp_path}/b.db")
    assert "sqlite:///:memory:" != "x"
