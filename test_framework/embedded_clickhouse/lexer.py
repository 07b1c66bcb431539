"""The tokens of ClickHouse SQL, as bytes: SQL may hold any bytes, and INSERT data follows it without a border.

The rules are those of the engine's own lexer, since one that ends a string or a comment elsewhere would take data for
SQL. Where they are unusual:

* line comments begin with ``--``, ``//``, ``# `` or ``#!``; block comments nest;
* quotes are ``'``, ``"`` and backticks, with backslash escapes and doubling, and the typographic pairs without either;
* ``$tag$ … $tag$`` is a string only when it is closed; otherwise ``$tag$`` is a word;
* words may begin with a digit (``1a``), and after a dot only digits form a number (``x.1.2``).

Time is linear in the length of the input; nothing is copied but the texts asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = [
    "ERROR",
    "HEREDOC",
    "NUMBER",
    "PUNCT",
    "QUOTED",
    "STRING",
    "WORD",
    "NeedMore",
    "Token",
    "identifier_text",
    "string_value",
    "tokens",
]

WORD, QUOTED, STRING, HEREDOC, NUMBER, PUNCT, ERROR = range(1, 8)
"""Kinds of token: bare word, quoted identifier, string literal, heredoc, number, one sign, not closed or not SQL."""

Token = tuple[int, int, int]
"""Kind, offset of the first byte, offset after the last. A plain tuple: a 1 MB query has half a million of them."""


class NeedMore(Exception):
    """The bytes so far end inside a token or before the decision; ask again with more of them."""


_SPACE = (
    rb"[ \t\n\r\f\v]|\xc2\xa0|\xe1\xa0\x8e|\xe2\x80[\x80-\x8f\xa8-\xaf]|\xe2\x81[\x9f\xa0]|\xe3\x80\x80|\xef\xbb\xbf"
)
_SKIPPED = rb"(?:" + _SPACE + rb"|--[^\n]*+|//[^\n]*+|\#[\ !][^\n]*+)++"

_SCANNER = re.compile(
    rb"""(?xs)
    (?P<skip> """
    + _SKIPPED.replace(rb"[ \t", rb"[\x20\t")
    + rb""" )
  | (?P<block> /\* )
  | (?P<string> '(?:[^'\\]++|\\.|'')*+'
              | [xX]'[0-9a-fA-F]*+' | [bB]'[01]*+'
              | \xe2\x80\x98(?:[^\xe2]++|\xe2(?!\x80\x99))*+\xe2\x80\x99 )
  | (?P<quoted> "(?:[^"\\]++|\\.|"")*+" | `(?:[^`\\]++|\\.|``)*+`
              | \xe2\x80\x9c(?:[^\xe2]++|\xe2(?!\x80\x9d))*+\xe2\x80\x9d )
  | (?P<open> ['"`] | [xXbB]' | \xe2\x80[\x98\x9c] )
  | (?P<heredoc> \$\w*+\$ )
  | (?P<word> [A-Za-z_][\w$]*+ | \$(?:\w[\w$]*+)? )
  | (?P<number> (?: 0[xX][0-9a-fA-F][0-9a-fA-F_]*+(?:\.[0-9a-fA-F_]*+)?(?:[pP][+-]?[0-9_]*+)?
                  | 0[bB][01][01_]*+
                  | [0-9][0-9_]*+(?:\.[0-9_]*+)?(?:[eE][+-]?[0-9_]*+)?
                  | \.[0-9][0-9_]*+(?:[eE][+-]?[0-9_]*+)? ) (?P<tail>\w++)? )
  | (?P<punct> [-+*/%=<>!?^:|@.,;()\[\]{}\#\\] )
  | (?P<bad> [^\x80-\xbf][\x80-\xbf]*+ | [\x80-\xbf]++ )
    """
)
_AFTER_DOT = re.compile(rb"[0-9]\w*+")
_AFTER_DOLLAR = re.compile(rb"\$(?:\w[\w$]*+)?")
_BLOCK_EDGE = re.compile(rb"/\*|\*/")
_TAG = re.compile(rb"(?=(\$\w*+\$))")

_KINDS = {"skip": 0, "string": STRING, "quoted": QUOTED, "word": WORD, "punct": PUNCT, "bad": ERROR}
_PLAIN = {_SCANNER.groupindex[name]: kind for name, kind in _KINDS.items()}
_NAMES_AND_NUMBERS = frozenset({WORD, QUOTED, NUMBER})
_COMPLETE = b"a"
_BLOCK, _OPEN, _HEREDOC, _NUMBER = (_SCANNER.groupindex[n] for n in ("block", "open", "heredoc", "number"))


def tokens(sql: bytes, start: int = 0, *, final: bool = True) -> Iterator[Token]:
    """The significant tokens from offset ``start``: no white space, no comments.

    Args:
        sql: the text, or with ``final=False`` the part of it that has arrived.
        start: offset to begin at; must lie between two tokens.
        final: whether nothing follows. Otherwise a token which touches the end may still grow, and so is not given out.

    Raises:
        NeedMore: with ``final=False``, where the end of ``sql`` is reached.
    """
    length = len(sql)
    pos, before = start, b""
    heredocs = _Heredocs(sql, final=final)
    while pos < length:
        found = _SCANNER.match(sql, pos)
        assert found is not None  # the last alternative takes any byte
        end = found.end()
        kind = _PLAIN.get(found.lastindex or 0, -1)
        if kind < 0:
            kind, end = _special(sql, found, heredocs, before)
        if end == length and not final:
            break
        if kind:
            yield kind, pos, end
            before = sql[pos : pos + 1] if kind == PUNCT else _COMPLETE if kind in _NAMES_AND_NUMBERS else b""
        pos = end
    if not final:
        raise NeedMore


def _special(sql: bytes, found: re.Match[bytes], heredocs: _Heredocs, before: bytes) -> tuple[int, int]:
    """Kind (0 for a comment) and end of a token that the pattern alone cannot delimit."""
    if found.lastindex == _NUMBER:
        return _number(sql, found, before)
    if found.lastindex == _HEREDOC:
        return heredocs.at(found.start(), found.end())
    if found.lastindex == _BLOCK and (end := _block_end(sql, found.end())) > 0:
        return 0, end
    return ERROR, len(sql)


def _number(sql: bytes, found: re.Match[bytes], before: bytes) -> tuple[int, int]:
    """Kind and end of what begins like a number: names may begin with digits, and dots may be operators."""
    if before == b"." and (digits := _AFTER_DOT.match(sql, found.start())):
        return NUMBER if digits.group().isdigit() else WORD, digits.end()
    text = found.group()
    if text.startswith(b".") and before in (b")", b"]", _COMPLETE):
        return PUNCT, found.start() + 1
    if found["tail"] and b"." not in text:
        return WORD, found.end()
    return NUMBER, found.end()


def _block_end(sql: bytes, pos: int) -> int:
    """The offset after a block comment that was opened before ``pos``; -1 when it is not closed."""
    depth = 1
    for edge in _BLOCK_EDGE.finditer(sql, pos):
        depth += 1 if edge.group() == b"/*" else -1
        if not depth:
            return edge.end()
    return -1


class _Heredocs:
    """Finds the ends of heredocs; each tag's last place is looked up once, so that unclosed ones cost no search."""

    def __init__(self, sql: bytes, *, final: bool) -> None:
        self._sql, self._final = sql, final
        self._last: dict[bytes, int] | None = None

    def at(self, start: int, tag_end: int) -> tuple[int, int]:
        sql = self._sql
        if self._last is None:
            self._last = {m.group(1): m.start() for m in _TAG.finditer(sql, start)}
        tag = sql[start:tag_end]
        if self._last[tag] >= tag_end:
            return HEREDOC, sql.index(tag, tag_end) + len(tag)
        if not self._final:
            raise NeedMore
        word = _AFTER_DOLLAR.match(sql, start)
        return WORD, word.end() if word else start + 1


_ESCAPES = {
    b"b": b"\b", b"f": b"\f", b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"a": b"\a", b"v": b"\v",
    b"e": b"\x1b", b"N": b"",
}  # fmt: skip
_ESCAPED = {quote: re.compile(rb"(?s)\\x([0-9a-fA-F]{2})|\\(.)|" + quote + quote) for quote in (b"'", b'"', b"`")}


def _unescape(text: bytes) -> bytes:
    """The inside of a quoted token, by the rules of its quote."""
    return _ESCAPED[text[:1]].sub(_unescape_one, text[1:-1])


def _unescape_one(found: re.Match[bytes]) -> bytes:
    hexadecimal, char = found.groups()
    if hexadecimal is not None:
        return bytes.fromhex(hexadecimal.decode())
    if char is None:
        return found.group()[:1]
    if char in _ESCAPES:
        return _ESCAPES[char]
    # The engine keeps the backslash before a character that needs no escape.
    return char if char in b"\\'\"`/=" or char < b" " else b"\\" + char


def string_value(sql: bytes, token: Token) -> bytes:
    """The value of a STRING or HEREDOC token, escapes resolved."""
    kind, start, end = token
    text = sql[start:end]
    if kind == HEREDOC:
        tag = text.index(b"$", 1) + 1
        return text[tag:-tag]
    if text[:1] == b"\xe2":
        return text[3:-3]
    if text[:1] in b"xX":
        digits = text[2:-1].decode()
        return bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    if text[:1] in b"bB":
        bits = text[2:-1]
        return int(bits or b"0", 2).to_bytes((len(bits) + 7) // 8, "big")
    return _unescape(text)


def identifier_text(sql: bytes, token: Token) -> bytes:
    """The name in a WORD or QUOTED token, quotes and escapes resolved."""
    kind, start, end = token
    if kind != QUOTED:
        return sql[start:end]
    if sql[start] == 0xE2:
        return sql[start + 3 : end - 3]
    return _unescape(sql[start:end])
