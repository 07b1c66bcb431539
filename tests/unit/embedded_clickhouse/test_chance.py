"""Random identifiers."""

from __future__ import annotations

import uuid

from test_framework.embedded_clickhouse.chance import Chance


def test_identifiers_of_queries_are_random_uuids_that_never_come_twice() -> None:
    chance = Chance()
    given = [chance.query_id() for _ in range(2000)]
    for text in given:
        identifier = uuid.UUID(text)
        assert (identifier.version, identifier.variant, str(identifier)) == (4, uuid.RFC_4122, text)
    assert len(set(given)) == len(given)
    assert {text[19] for text in given} == set("89ab")


def test_tags_are_sixteen_letters() -> None:
    tag = Chance().tag()
    assert len(tag) == 16
    assert tag.isascii()
    assert tag.islower()
    assert tag.isalpha()
