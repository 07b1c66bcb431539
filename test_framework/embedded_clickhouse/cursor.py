"""A place in the tokens of a statement, with the few moves that its readers need."""

from __future__ import annotations

from collections.abc import Iterator

from test_framework.embedded_clickhouse.lexer import HEREDOC, PUNCT, QUOTED, STRING, WORD, Token, tokens

__all__ = ["Cursor", "ends_expression"]

_OPENING, _CLOSING = b"([{", b")]}"

# After these words an expression or a name is to come, so that a following FORMAT is a name and not the clause. Each
# can be a name as well, which only its place tells. These stand behind something complete, elsewhere they are names:
_INFIXES = frozenset(
    b"SELECT FROM WHERE PREWHERE HAVING QUALIFY BY AND OR AS ON USING IN LIKE ILIKE REGEXP IS JOIN LIMIT OFFSET GLOBAL "
    b"EXCEPT INTERSECT UNION DIV MOD SAMPLE INTO VALUES SETTINGS".split()
)
#: or behind one of these.
_BEFORE_INFIXES = frozenset(b"NOT IS GLOBAL UNION EXCEPT INTERSECT".split())
_BEFORE_DISTINCT = _BEFORE_INFIXES | {b"SELECT"}
_VERBS = frozenset(b"DESCRIBE DESC EXISTS EXPLAIN SET".split())
_OBJECTS = frozenset(b"TABLE DATABASE DICTIONARY VIEW TEMPORARY FUNCTION".split())
_BEFORE_OBJECTS = _VERBS | frozenset(
    b"SHOW CREATE CHECK INTO TO TEMPORARY DROP DETACH ATTACH TRUNCATE ALTER OPTIMIZE RENAME REPLACE".split()
)
_WANTS_MORE = _INFIXES | _VERBS | _OBJECTS | {b"NOT", b"DISTINCT", b"ALL"}


class Cursor:
    """Walks over the tokens of ``sql``, reading one only when it is looked at: what follows a head may be no SQL.

    Raises:
        NeedMore: from any move that looks beyond the end while ``final`` is false.
    """

    def __init__(self, sql: bytes, start: int = 0, *, final: bool = True) -> None:
        self.sql = sql
        self.final = final
        self.previous: Token | None = None
        #: the token before ``previous``
        self.earlier: Token | None = None
        self._tokens: Iterator[Token] = tokens(sql, start, final=final)
        self._loaded = False
        self._token: Token | None = None

    @property
    def token(self) -> Token | None:
        """The token here; ``None`` at the end."""
        if not self._loaded:
            self._token, self._loaded = next(self._tokens, None), True
        return self._token

    @property
    def start(self) -> int:
        """Offset of the token here; the length of the text at its end."""
        return self.token[1] if self.token else len(self.sql)

    def advance(self) -> Token:
        """Step over the token here, and return it."""
        token = self.token
        assert token is not None, "advance at the end"
        self.earlier, self.previous, self._loaded = self.previous, token, False
        return token

    def text(self, token: Token | None) -> bytes:
        return self.sql[token[1] : token[2]] if token else b""

    @property
    def word(self) -> bytes:
        """The bare word here in upper case; empty when it is something else."""
        token = self.token
        return self.text(token).upper() if token and token[0] == WORD else b""

    @property
    def sign(self) -> bytes:
        """The sign of punctuation here; empty when it is something else."""
        token = self.token
        return self.text(token) if token and token[0] == PUNCT else b""

    def at_string(self) -> bool:
        return self.token is not None and self.token[0] in (STRING, HEREDOC)

    def at_name(self) -> bool:
        return self.token is not None and self.token[0] in (WORD, QUOTED)

    def accept(self, *words: bytes) -> bool:
        """Step over ``words`` if they come next. Only the first may be missing without harm, as in the engine."""
        for word in words:
            if self.word != word:
                return False
            self.advance()
        return True

    def accept_sign(self, sign: bytes) -> bool:
        if self.sign != sign:
            return False
        self.advance()
        return True

    def skip_group(self) -> bool:
        """Step over a bracket and all up to its partner; false when there is no bracket or no partner."""
        depth = 0
        while self.token is not None and self.sign != b";":
            sign = self.sign
            if sign and sign in _OPENING:
                depth += 1
            elif sign and sign in _CLOSING:
                depth -= 1
            elif not depth:
                return False
            self.advance()
            if depth <= 0:
                return depth == 0
        return False


def ends_expression(sql: bytes, token: Token | None, earlier: Token | None = None) -> bool:
    """Whether an expression or clause can be complete after ``token``, so that a clause may begin there.

    Args:
        earlier: the token before, which tells a keyword from a column of that name; ``None`` at the start.
    """
    if token is None:
        return False
    kind, start, end = token
    if kind == PUNCT:
        return sql[start:end] in (b")", b"]", b"}", b"*")
    if kind != WORD or (word := sql[start:end].upper()) not in _WANTS_MORE:
        return True
    return sql[start - 1 : start] == b"." or not _is_keyword(sql, word, earlier)


def _is_keyword(sql: bytes, word: bytes, earlier: Token | None) -> bool:
    """Whether ``word``, which can be a keyword, is one behind the token ``earlier``."""
    before = sql[earlier[1] : earlier[2]].upper() if earlier else b""
    if word in _VERBS:
        return before in (b"", b"EXPLAIN")
    if word in _OBJECTS:
        return before in _BEFORE_OBJECTS
    if word in (b"DISTINCT", b"ALL"):
        return before in _BEFORE_DISTINCT
    if word == b"NOT":
        return before != b"AS"
    return not earlier or before in _BEFORE_INFIXES or (before != b"DISTINCT" and ends_expression(sql, earlier))
