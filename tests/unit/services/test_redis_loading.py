"""Reading Redis fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.services.base import FixtureFile
from test_framework.services.redis.loading import check, entries


def file(content: str | bytes, name: str = "a.yaml") -> FixtureFile:
    data = content.encode() if isinstance(content, str) else content
    return FixtureFile(Path(name), data, "", name)


def commands(content: str, name: str = "a.yaml") -> list[tuple[object, ...]]:
    return [command for entry in entries(file(content, name)) for command in entry.commands]


def test_scalars_are_taken_as_written() -> None:
    assert commands("k: {type: list, value: [1.10, yes, ~, 2025-01-01, 0x1F, '007']}") == [
        ("RPUSH", b"k", "1.10", "yes", "~", "2025-01-01", "0x1F", "007")
    ]


def test_json_values_keep_their_types() -> None:
    assert commands('k: {type: json, value: {a: 1, b: [true, null, 1.5], c: "1", d: 2025-01-01}}') == [
        ("SET", b"k", '{"a":1,"b":[true,null,1.5],"c":"1","d":"2025-01-01"}')
    ]


def test_a_json_file_says_the_same_as_a_yaml_file() -> None:
    text = '{\n\t"k": {"type": "string", "value": "\\ud83d\\ude00 caf\\u00e9", "ttl": 60}\n}'
    assert commands(text, "a.json") == [("SET", b"k", "😀 café"), ("PEXPIRE", b"k", 60000)]


def test_every_type_becomes_its_command() -> None:
    text = """
    h: {type: hash, value: {a: 1}}
    s: {type: set, value: [a, b]}
    z: {type: zset, value: {a: 1.5, b: -2}}
    x: {type: stream, value: [{id: 5-1, a: 1}, {id: 6-0, b: 2}]}
    n: {type: stream, value: [{a: 1}, {a: 2}]}
    b: {type: string, value: !!binary aGk=}
    """
    assert commands(text) == [
        ("HSET", b"h", "a", "1"),
        ("SADD", b"s", "a", "b"),
        ("ZADD", b"z", 1.5, "a", -2.0, "b"),
        ("XADD", b"x", "5-1", "a", "1"),
        ("XADD", b"x", "6-0", "b", "2"),
        ("XADD", b"n", "1-0", "a", "1"),
        ("XADD", b"n", "2-0", "a", "2"),
        ("SET", b"b", b"hi"),
    ]


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("a: {type: string, value: 1}\nb: [1", 2, "not proper YAML"),
        ("a: {type: string, value: 1}\n\tb: 1", 2, "not proper YAML"),
        ("a: {type: string, value: 1}\n---\nb: 1", 2, "not proper YAML"),
        ("- a\n", 1, "the file must be a mapping"),
        ("\na: 1", 2, "must be a mapping"),
        ("a: {type: string, value: 1}\nb: {type: blob, value: 1}", 2, "no type 'blob'"),
        ("a: {value: 1}", 1, "lacks 'type'"),
        ("a: {type: string}", 1, "lacks 'value'"),
        ("a: {type: string, value: 1, tll: 5}", 1, "no field 'tll'"),
        ("a: {type: string, value: 1, ttl: soon}", 1, "ttl must be a finite number"),
        ("a: {type: string, value: 1, ttl: -1}", 1, "a ttl is"),
        ("a: {type: string, value: 1, ttl: 0}", 1, "a ttl is"),
        ("a: {type: string, value: [1]}", 1, "single value"),
        ("a: {type: list, value: 1}", 1, "must be a list"),
        ("a: {type: list, value: []}", 1, "empty"),
        ("a: {type: set, value: [x, x]}", 1, "twice in the set"),
        ("a: {type: hash, value: [x]}", 1, "must be a mapping"),
        ("a: {type: hash, value: {}}", 1, "empty"),
        ("a:\n  type: hash\n  value:\n    x: 1\n    x: 2", 5, "'x' occurs twice"),
        ("a: {type: string, value: 1}\na: {type: string, value: 2}", 2, "'a' occurs twice"),
        ("a: {type: zset, value: {m: much}}", 1, "finite number"),
        ("a: {type: zset, value: {m: .nan}}", 1, "finite number"),
        ("a: {type: stream, value: [{id: 2-0, a: 1}, {id: 1-0, a: 1}]}", 1, "above the one before"),
        ("a: {type: stream, value: [{id: '*', a: 1}]}", 1, "above the one before"),
        ("a: {type: stream, value: [{id: 1-0}]}", 1, "needs fields"),
        ("a: {type: string, value: !!python/object:os.system 1}", 1, "tag"),
        ("a: {type: string, value: !!binary '*'}", 1, "base64"),
        ("test-framework:seed: {type: string, value: 1}", 1, "kept for the record"),
        ("a: {type: json, value: &x [*x]}", 1, "too large or too deep"),
        ("a: {type: json, value: .inf}", 1, "JSON knows no such number"),
        (b"a: \xff", 1, "not UTF-8"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_line(content: str | bytes, line: int, what: str) -> None:
    (error,) = check([file(content)])
    assert (error.line, what in error.what) == (line, True), error


def test_an_alias_that_multiplies_itself_is_stopped() -> None:
    text = "a: {type: json, value: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}\n"
    text += "".join(
        f"a{n}: {{type: json, value: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(10))}]}}\n" for n in range(1, 9)
    )
    (error,) = check([file(text)])
    assert "too large or too deep" in error.what


def test_a_key_that_two_files_define_is_refused_and_both_places_are_named() -> None:
    (error,) = check([file("k: {type: string, value: 1}", "a.yaml"), file("\nk: {type: string, value: 2}", "b.yaml")])
    assert (error.where, "a.yaml:1" in str(error.cause)) == ("b.yaml:2", True)


def test_broken_json_is_named_with_its_line() -> None:
    (error,) = check([file('{\n"k": {"type": "string",}\n}', "a.json")])
    assert (error.line, error.what) == (2, "the file is not proper JSON")


def test_large_values_go_in_pieces() -> None:
    items = "\n".join(f"    - {number}" for number in range(1200))
    assert [len(command) for command in commands(f"k:\n  type: list\n  value:\n{items}")] == [502, 502, 202]
