"""HTTP: what a mock's assertions say, said of the requests that were sent."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from test_framework.migration.rewriter.events import CannotTell, Check
from test_framework.migration.rewriter.http_data import HttpProof
from test_framework.migration.rewriter.http_model import MADE
from test_framework.migration.rewriter.http_requests import Request, request_of
from test_framework.migration.rewriter.references import references
from test_framework.migration.rewriter.values import ArgRef, Const, CountRef, DictV, ListV, Value, emit, repr_of
from test_framework.migration.rewriter.wanted import is_any, said

__all__ = ["http_assertion"]


def _sent(proof: HttpProof, request: Request, path: str = "") -> str:
    """The requests of this method and path, in the test's words."""
    path = path or _path(request)
    if not path and proof.prepared:
        raise CannotTell("the path of a request cannot be told from the source")
    return f"{proof.client.name}.sent({repr_of(request.method)}{f', {path}' if path else ''})"


def _own_words(check: Check) -> str:
    """The path as the assertion says it, where it is no plain text."""
    first = check.node.args[0] if isinstance(check.node, ast.Call) and check.node.args else None
    plain = first is None or any(isinstance(each, ast.Attribute | ast.Call) for each in ast.walk(first))
    if plain or not isinstance(first, ast.JoinedStr) or not ast.unparse(first).startswith(("f'/", 'f"/')):
        return ""
    text = ast.unparse(first)
    return text if '"' in text else 'f"' + text[2:-1] + '"'


def _path(request: Request) -> str:
    if MADE in request.path:
        raise CannotTell("the path holds an id that only the service knows")
    if not request.parts:
        return repr_of(request.path)
    shown = [emit(part) for part in request.parts]
    if None in shown:
        return ""
    return "f" + repr_of(request.path.format(*(f"{{{text}}}" for text in shown)))


def _called(check: Check, proof: HttpProof) -> list[str]:
    """``assert_called``, ``assert_called_once`` and their like."""
    requests = _requests(check, proof)
    lines = []
    for request in requests:
        number = _number(requests, request)
        exact = check.what.endswith("_once") or len(requests) > 1
        lines.append(f"assert len({_sent(proof, request)}) == {number}" if exact else f"assert {_sent(proof, request)}")
    return list(dict.fromkeys(lines))


def _requests(check: Check, proof: HttpProof) -> list[Request]:
    found = proof.of(check.root, check.path)
    if not found:
        raise CannotTell(f"the call of {check.method} that is asserted is not made by any code in sight")
    if any((each.method, each.path) in proof.prepared for each in found):
        raise CannotTell("the request that is counted is also needed to prepare the service")
    return found


def _number(requests: Sequence[Request], request: Request) -> int:
    return sum((each.method, each.path) == (request.method, request.path) for each in requests)


def _with(check: Check, args: Sequence[Value], kwargs: dict[str, Value], proof: HttpProof) -> list[str]:
    """``assert_called_with`` and its like: what was sent, in the words of the assertion."""
    requests = _requests(check, proof)
    wanted = request_of(check.path, list(args), kwargs)
    same = [each for each in requests if (each.method, each.path) == (wanted.method, wanted.path)]
    same = [each for each in same if _agree(wanted, each)]
    if not same:
        raise CannotTell("what is asserted to be sent is not what the code sends to the service")
    if wanted.others:
        raise CannotTell(f"{', '.join(wanted.others)} of a request cannot be seen in what was sent")
    once = check.what.endswith("_once_with")
    any_of = not once and not check.what.endswith(("_called_with", "_awaited_with"))
    sent = _sent(proof, same[-1], _own_words(check))
    facts = _facts(wanted)
    if not facts:
        return [f"assert len({sent}) == {_number(requests, same[-1])}" if once else f"assert {sent}"]
    lines = []
    for attribute, value in facts:
        listed = f"[each.{attribute} for each in {sent}]"
        if once:
            lines.append(f"assert {listed} == [{value}]")
        else:
            lines.append(f"assert {value} in {listed}" if any_of else f"assert {sent}[-1].{attribute} == {value}")
    return lines


def _facts(wanted: Request) -> list[tuple[str, str]]:
    """Attributes of what was sent, and their values."""
    found = []
    if wanted.json is not None and not is_any(wanted.json):
        found.append(("json", _json(wanted.json)))
    if wanted.params:
        found.append(("params", "{" + ", ".join(f"{repr_of(n)}: {_text(v)}" for n, v in wanted.params.items()) + "}"))
    for name, value in wanted.headers.items():
        if not is_any(value):
            found.append((f"headers[{repr_of(name)}]", said(value, f"the header {name}")))
    return found


def _json(value: Value) -> str:
    if isinstance(value, DictV) and value.src is None and any(is_any(each) for each in value.items.values()):
        raise CannotTell("a part of what is sent is ANY: say what it is")
    return said(value, "what is sent")


def _text(value: Value) -> str:
    """A parameter as it is sent."""
    if isinstance(value, Const) and isinstance(value.value, str | int | float) and not isinstance(value.value, bool):
        return repr_of(str(value.value))
    raise CannotTell("a parameter of the request cannot be told from the source")


def _agree(wanted: Request, sent: Request) -> bool:
    pairs = [(wanted.json, sent.json)] if not (wanted.json is not None and is_any(wanted.json)) else []
    for mine, theirs in ((wanted.params, sent.params), (wanted.headers, sent.headers)):
        pairs += [(mine.get(name), theirs.get(name)) for name in mine.keys() | theirs.keys()]
    return all(_same(mine, theirs) for mine, theirs in pairs)


def _same(mine: Value | None, theirs: Value | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    if is_any(mine):
        return True
    if isinstance(mine, DictV) and isinstance(theirs, DictV):
        return mine.items.keys() == theirs.items.keys() and all(
            _same(each, theirs.items[name]) for name, each in mine.items.items()
        )
    if isinstance(mine, ListV) and isinstance(theirs, ListV):
        return len(mine.items) == len(theirs.items) and all(map(_same, mine.items, theirs.items))
    if isinstance(mine, Const) and isinstance(theirs, Const):
        return bool(mine.value == theirs.value)
    texts = emit(mine), emit(theirs)
    return texts[0] is not None and texts[0] == texts[1]


def _calls(check: Check, proof: HttpProof) -> list[str]:
    """``assert_has_calls``."""
    return list(dict.fromkeys(line for args, kwargs in check.calls() for line in _with(check, args, kwargs, proof)))


def _not_called(check: Check, proof: HttpProof) -> list[str]:
    method = check.method.upper()
    if proof.of(check.root, check.path):
        raise CannotTell(f"{check.method} is called by the code in sight, and asserted not to be")
    if method in ("", "REQUEST") or method in {each for each, _ in proof.prepared}:
        raise CannotTell(f"that {check.method or 'the mock'} was not called cannot be seen in what was sent")
    return [f"assert not {proof.client.name}.sent({repr_of(method)})"]


def _count(ref: CountRef, check: Check, proof: HttpProof) -> str:
    """What takes the place of ``mock.post.call_count`` or ``mock.post.called``."""
    requests = proof.of(ref.root, ref.path)
    method = next((step for step in reversed(ref.path) if step != "()"), "").upper()
    if len({(each.method, each.path) for each in requests}) == 1:
        sent = _sent(proof, _requests(check, proof)[0])
    elif proof.prepared or method in ("", "REQUEST"):
        raise CannotTell("the requests that are counted are mixed with those that prepare the service")
    else:
        sent = f"{proof.client.name}.sent({repr_of(method)})"
    return f"bool({sent})" if ref.what in ("called", "awaited") else f"len({sent})"


def _argument(ref: ArgRef, check: Check, proof: HttpProof) -> str:
    """What takes the place of an argument of a call: ``mock.post.call_args.kwargs["json"]``."""
    requests = _requests(check, proof)
    try:
        request = requests[ref.index]
    except IndexError:
        raise CannotTell("the call whose arguments are asserted is not made by any code in sight") from None
    alike = [each for each in requests if (each.method, each.path) == (request.method, request.path)]
    at = -1 if request is alike[-1] else next(n for n, each in enumerate(alike) if each is request)
    sent = f"{_sent(proof, request)}[{at}]"
    which = ref.which
    if which == "json":
        return f"{sent}.json"
    if which == "headers":
        return f"{sent}.headers"
    if which == "params" and all(_is_text(each) for each in request.params.values()):
        return f"{sent}.params"
    url = request.op.args[0] if request.op is not None and request.op.args else None
    if which in (0, "url") and isinstance(url, Const) and urlsplit(str(url.value)).path == url.value:
        return f"{sent}.path"
    raise CannotTell(f"argument {which!r} of a request cannot be seen in what was sent")


def _is_text(value: Value) -> bool:
    return isinstance(value, Const) and isinstance(value.value, str)


def http_assertion(check: Check, proof: HttpProof) -> tuple[list[str], list[str], list[tuple[ast.expr, str]]]:
    """Statements at the test's beginning, statements instead of the assertion, expressions within it."""
    if check.what == "refs":
        return [], [], [_reference(node, ref, check, proof) for node, ref in references(check)]
    if check.what in ("assert_not_called", "assert_not_awaited"):
        return [], _not_called(check, proof), []
    if check.what in ("assert_has_calls", "assert_has_awaits"):
        return [], _calls(check, proof), []
    if check.what.endswith("_with") or check.what in ("assert_any_call", "assert_any_await"):
        return [], _with(check, check.args, check.kwargs, proof), []
    return [], _called(check, proof), []


def _reference(node: ast.expr, ref: ArgRef | CountRef, check: Check, proof: HttpProof) -> tuple[ast.expr, str]:
    of = replace(check, root=ref.root, path=ref.path)
    return node, _count(ref, of, proof) if isinstance(ref, CountRef) else _argument(ref, of, proof)
