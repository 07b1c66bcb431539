"""SQLAlchemy over HTTP, by both of its ClickHouse dialects, against the embedded endpoint."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from clickhouse_sqlalchemy import engines, make_session, select, types
from clickhouse_sqlalchemy.exceptions import DatabaseException
from sqlalchemy.orm import DeclarativeBase, Session

from tests.integration.embedded_clickhouse.conftest import Server

# Two packages register a dialect here, and the second to be loaded says so.
pytestmark = pytest.mark.filterwarnings("ignore:The 'clickhouse.//' URL remains registered")


@pytest.fixture(scope="module")
def engine(server: Server) -> Iterator[sa.Engine]:
    """clickhouse-sqlalchemy's HTTP driver."""
    login = f"{server.user}:{quote(server.password, safe='')}"
    made = sa.create_engine(f"clickhouse+http://{login}@127.0.0.1:{server.port}/default")
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def connect_engine(server: Server) -> Iterator[sa.Engine]:
    """clickhouse-connect's own dialect."""
    login = f"{server.user}:{quote(server.password, safe='')}"
    made = sa.create_engine(f"clickhousedb://{login}@127.0.0.1:{server.port}/default")
    yield made
    made.dispose()


def name() -> str:
    return f"sa_{uuid.uuid4().hex[:12]}"


def test_tables_are_made_filled_read_and_dropped(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    table = sa.Table(
        name(),
        metadata,
        sa.Column("id", types.UInt64, primary_key=True),
        sa.Column("name", types.Nullable(types.String)),
        sa.Column("day", types.Date),
        sa.Column("price", types.Decimal(18, 4)),
        engines.MergeTree(order_by=["id"]),
    )
    table.create(engine)
    rows = [
        {"id": 1, "name": "it's; --", "day": dt.date(2024, 1, 2), "price": Decimal("1.2345")},
        {"id": 2, "name": None, "day": dt.date(2024, 1, 3), "price": Decimal("-2.0000")},
    ]
    session = make_session(engine)
    session.execute(table.insert(), rows)
    session.commit()
    assert [tuple(row) for row in session.execute(sa.select(table).order_by(table.c.id))] == [
        tuple(row.values()) for row in rows
    ]
    assert session.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 2
    assert sa.inspect(engine).has_table(table.name)
    session.close()
    table.drop(engine)
    assert not sa.inspect(engine).has_table(table.name)


@pytest.mark.filterwarnings("ignore:Class Select will not make use of SQL compilation caching")
def test_the_clauses_of_clickhouse_reach_the_engine(engine: sa.Engine) -> None:
    table = sa.Table(name(), sa.MetaData(), sa.Column("k", types.UInt8), sa.Column("v", types.UInt64), engines.Memory())
    table.create(engine)
    with engine.connect() as connection:
        connection.execute(table.insert(), [{"k": number % 3, "v": number} for number in range(9)])
        query = select(table.c.k, sa.func.sum(table.c.v)).group_by(table.c.k).order_by(table.c.k)
        assert [tuple(row) for row in connection.execute(query)] == [(0, 9), (1, 12), (2, 15)]
        limited = select(table.c.v).order_by(table.c.v).limit_by([table.c.k], limit=1)
        assert [row[0] for row in connection.execute(limited)] == [0, 1, 2]
    table.drop(engine)


def test_a_streamed_result_is_read_row_by_row(engine: sa.Engine) -> None:
    with engine.connect().execution_options(stream_results=True) as connection:
        rows = connection.execute(sa.text("SELECT number FROM numbers(50000)"))
        assert sum(row[0] for row in rows) == sum(range(50_000))


def test_errors_of_the_server_are_raised(engine: sa.Engine) -> None:
    with engine.connect() as connection, pytest.raises(DatabaseException, match="UNKNOWN_TABLE"):
        connection.execute(sa.text("SELECT * FROM no_such_table")).all()


@pytest.mark.parametrize(
    ("type", "literal", "value"),
    [
        ("UInt8", "7", 7),
        ("Int256", "'-5'", -5),
        ("Float64", "0.5", 0.5),
        ("Nullable(String)", "NULL", None),
        ("String", r"'a\tb\nc\\'", "a\tb\nc\\"),
        ("Date", "'2024-01-02'", dt.date(2024, 1, 2)),
        ("DateTime", "'2024-01-02 03:04:05'", dt.datetime.fromisoformat("2024-01-02 03:04:05")),
        # This driver has no converter for these and leaves them as the text that the server sent.
        ("UUID", "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'", "61f0c404-5cb3-11e7-907b-a6006ad3dba0"),
        ("LowCardinality(String)", "'x'", "x"),
        ("Array(Int32)", "[1, -2]", "[1,-2]"),
    ],
)
def test_a_value_of_each_type_is_read_as_text_formats_give_it(
    engine: sa.Engine, type: str, literal: str, value: object
) -> None:
    with engine.connect() as connection:
        sql = sa.text(f"SELECT CAST({literal} AS {type}) AS v".replace(":", r"\:"))
        assert connection.execute(sql).scalar() == value


def test_tables_are_reflected(engine: sa.Engine) -> None:
    made = name()
    with engine.connect() as connection:
        connection.execute(
            sa.text(f"CREATE TABLE {made} (a UInt64, b Nullable(String), c Array(Int8)) ENGINE = MergeTree ORDER BY a")
        )
        table = sa.Table(made, sa.MetaData(), autoload_with=connection)
        assert list(table.columns.keys()) == ["a", "b", "c"]
        assert made in sa.inspect(connection).get_table_names()
        connection.execute(sa.text(f"DROP TABLE {made}"))


def test_the_other_dialect_does_the_same(connect_engine: sa.Engine) -> None:
    from clickhouse_connect.cc_sqlalchemy.datatypes.sqltypes import Int32, Nullable, String
    from clickhouse_connect.cc_sqlalchemy.ddl.tableengine import MergeTree

    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = name()
        __table_args__ = (MergeTree(order_by="id"),)
        id: sa.orm.Mapped[int] = sa.orm.mapped_column(Int32, primary_key=True)
        title: sa.orm.Mapped[str | None] = sa.orm.mapped_column(Nullable(String))

    Base.metadata.create_all(connect_engine)
    with Session(connect_engine) as session:
        session.add_all([Thing(id=1, title="it's; --"), Thing(id=2, title=None)])
        session.commit()
        assert session.scalars(sa.select(Thing.title).order_by(Thing.id)).all() == ["it's; --", None]
        assert session.scalar(sa.select(sa.func.count()).select_from(Thing).where(Thing.id > 1)) == 1
    inspector = sa.inspect(connect_engine)
    assert [column["name"] for column in inspector.get_columns(Thing.__tablename__)] == ["id", "title"]
    Base.metadata.drop_all(connect_engine)
    assert Thing.__tablename__ not in sa.inspect(connect_engine).get_table_names()


def test_parameters_with_every_kind_of_sign_come_back(connect_engine: sa.Engine, engine: sa.Engine) -> None:
    nasty = "'\"`\\\t\n;-- /* é \x01 %s :x {y}"
    for one in (engine, connect_engine):
        with one.connect() as connection:
            assert connection.execute(sa.text("SELECT :value AS v"), {"value": nasty}).scalar() == nasty
