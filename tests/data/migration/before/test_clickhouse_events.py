from unittest.mock import AsyncMock

import pytest


class Statistics:
    def __init__(self, clickhouse):
        self.clickhouse = clickhouse

    async def record(self, page, seconds):
        await self.clickhouse.insert("page_times", [[page, seconds]], column_names=["page", "seconds"])

    async def visits(self, page):
        rows = await self.clickhouse.execute(
            "SELECT count() FROM page_times WHERE page = %(page)s", {"page": page}
        )
        return rows[0][0]

    async def pages(self):
        result = await self.clickhouse.query("SELECT page, count() FROM page_times GROUP BY page ORDER BY page")
        return {page: number for page, number in result.result_rows}


@pytest.fixture
def mock_clickhouse():
    return AsyncMock()


@pytest.fixture
def statistics(mock_clickhouse):
    return Statistics(mock_clickhouse)


async def test_record(statistics, mock_clickhouse):
    await statistics.record("/help", 12)
    mock_clickhouse.insert.assert_awaited_once_with("page_times", [["/help", 12]], column_names=["page", "seconds"])


async def test_visits(statistics, mock_clickhouse):
    mock_clickhouse.execute.return_value = [(4,)]
    assert await statistics.visits("/help") == 4


async def test_pages(statistics, mock_clickhouse):
    mock_clickhouse.query.return_value.result_rows = [("/", 3), ("/help", 1)]
    assert await statistics.pages() == {"/": 3, "/help": 1}
