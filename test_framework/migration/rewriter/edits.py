"""Changes to a file, applied to its concrete syntax tree: what they do not name stays byte for byte."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from test_framework.migration.rewriter.layout import folded, is_docstring, worth_keeping

__all__ = ["Edits", "FunctionEdit", "Pos", "Positions", "apply"]


Pos = tuple[int, int]
Span = tuple[int, int, int, int]


@dataclass
class FunctionEdit:
    """To one function: parameters, decorators, and names within it."""

    rename: dict[str, str] = field(default_factory=dict)
    remove: set[str] = field(default_factory=set)
    add: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    decorators_off: set[Pos] = field(default_factory=set)
    decorators_on: list[str] = field(default_factory=list)
    make_async: bool = False
    name: str = ""

    def want(self, name: str) -> None:
        if name not in self.add:
            self.add.append(name)

    def merge(self, other: FunctionEdit) -> None:
        self.rename.update(other.rename)
        self.remove |= other.remove
        self.decorators_off |= other.decorators_off
        self.make_async = self.make_async or other.make_async
        self.name = self.name or other.name
        for mine, theirs in (
            (self.add, other.add),
            (self.first, other.first),
            (self.decorators_on, other.decorators_on),
        ):
            mine += [each for each in theirs if each not in mine]


@dataclass
class Edits:
    """Statements and expressions are named by where they begin and end in the source."""

    delete: set[Pos] = field(default_factory=set)
    before: dict[Pos, list[str]] = field(default_factory=dict)
    replace: dict[Pos, list[str]] = field(default_factory=dict)
    exprs: dict[Span, str] = field(default_factory=dict)
    functions: dict[Pos, FunctionEdit] = field(default_factory=dict)
    with_items: dict[Span, str] = field(default_factory=dict)
    marks: dict[Pos, str] = field(default_factory=dict)
    # Functions that stay as they are, beside a changed copy of this name.
    copies: dict[Pos, str] = field(default_factory=dict)

    def function(self, pos: Pos) -> FunctionEdit:
        return self.functions.setdefault(pos, FunctionEdit())

    def merge(self, other: Edits) -> None:
        self.delete |= other.delete
        for pos, lines in other.before.items():
            mine = self.before.setdefault(pos, [])
            mine += [line for line in lines if line not in mine]
        self.replace.update(other.replace)
        self.exprs.update(other.exprs)
        self.with_items.update(other.with_items)
        self.marks.update(other.marks)
        self.copies.update(other.copies)
        for pos, edit in other.functions.items():
            self.function(pos).merge(edit)


class Positions:
    """Where nodes of :mod:`ast` are, in characters."""

    def __init__(self, source: str) -> None:
        self._lines = [line.encode() for line in source.splitlines()] if not source.isascii() else None
        self._source = source

    def column(self, line: int, offset: int) -> int:
        if self._lines is None or line > len(self._lines):
            return offset
        return len(self._lines[line - 1][:offset].decode("utf-8", "replace"))

    def of(self, node: ast.stmt | ast.expr) -> Pos:
        return node.lineno, self.column(node.lineno, node.col_offset)

    def span(self, node: ast.expr) -> Span:
        end, offset = node.end_lineno or node.lineno, node.end_col_offset or 0
        return (*self.of(node), end, self.column(end, offset))


def apply(source: str, edits: Edits) -> str:
    """The file with the changes made. Raises libcst.ParserSyntaxError."""
    module = cst.parse_module(source)
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    changer = _Changer(edits, module)
    return wrapper.visit(changer).code


def _apart(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    """The blank lines above a function, for another one."""
    return [line for line in lines if line.comment is None] or [cst.EmptyLine()]


class _Changer(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, edits: Edits, module: cst.Module) -> None:
        super().__init__()
        self.edits = edits
        self.config = module.config_for_parsing
        self.renames: list[dict[str, str]] = []
        self.fixed: set[int] = set()

    def start(self, node: cst.CSTNode) -> Pos:
        where = self.get_metadata(PositionProvider, node).start
        return where.line, where.column

    def span(self, node: cst.CSTNode) -> Span:
        where = self.get_metadata(PositionProvider, node)
        return where.start.line, where.start.column, where.end.line, where.end.column

    def parsed(self, lines: Sequence[str]) -> list[cst.SimpleStatementLine | cst.BaseCompoundStatement]:
        return [cst.parse_statement(folded(line), self.config) for line in lines]

    # Names.

    def visit_Attribute(self, node: cst.Attribute) -> None:  # noqa: N802 - LibCST's naming
        self.fixed.add(id(node.attr))

    def visit_Arg(self, node: cst.Arg) -> None:  # noqa: N802 - LibCST's naming
        if node.keyword is not None:
            self.fixed.add(id(node.keyword))

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> object:  # type: ignore[override]
        if isinstance(original_node, cst.BaseExpression) and self.edits.exprs:
            text = self.edits.exprs.get(self.span(original_node))
            if text is not None and not isinstance(original_node, cst.FormattedString | cst.Param):
                return cst.parse_expression(text, self.config)
        return super().on_leave(original_node, updated_node)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:  # noqa: N802 - LibCST's naming
        if id(original_node) in self.fixed or not self.renames:
            return updated_node
        for names in reversed(self.renames):
            if original_node.value in names:
                return updated_node.with_changes(value=names[original_node.value])
        return updated_node

    # Functions.

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802 - LibCST's naming
        edit = self.edits.functions.get(self.start(node))
        self.renames.append(edit.rename if edit else {})
        self.fixed.add(id(node.name))

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:  # noqa: N802 - LibCST's naming
        self.renames.pop()
        edit = self.edits.functions.get(self.start(original_node))
        if edit is None:
            return updated_node
        kept = [
            new
            for old, new in zip(original_node.decorators, updated_node.decorators, strict=True)
            if self.start(old.decorator) not in edit.decorators_off
        ]
        added = [cst.Decorator(cst.parse_expression(text)) for text in edit.decorators_on]
        updated_node = updated_node.with_changes(
            decorators=[*kept, *added], params=self.parameters(original_node.params, updated_node.params, edit)
        )
        if edit.name:
            updated_node = updated_node.with_changes(name=cst.Name(edit.name))
        if edit.make_async and updated_node.asynchronous is None:
            updated_node = updated_node.with_changes(asynchronous=cst.Asynchronous())
        if edit.first and isinstance(updated_node.body, cst.IndentedBlock):
            updated_node = updated_node.with_changes(body=self.begin(updated_node.body, edit.first))
        return updated_node

    def begin(self, body: cst.IndentedBlock, lines: Sequence[str]) -> cst.IndentedBlock:
        statements = list(body.body)
        at = 1 if statements and is_docstring(statements[0]) else 0
        return body.with_changes(body=[*statements[:at], *self.parsed(lines), *statements[at:]])

    def parameters(self, before: cst.Parameters, now: cst.Parameters, edit: FunctionEdit) -> cst.Parameters:
        kept: list[cst.Param] = []
        names: set[str] = set()
        for old, new in zip(before.params, now.params, strict=True):
            if old.name.value in edit.remove or new.name.value in names:
                continue
            if old.name.value in edit.rename:
                kept.append(new.with_changes(annotation=None))
            else:
                kept.append(new)
            names.add(new.name.value)
        others = {each.name.value for each in (*now.kwonly_params, *now.posonly_params)}
        added = [cst.Param(cst.Name(name)) for name in edit.add if name not in names | others]
        if not added and len(kept) == len(now.params):
            return now.with_changes(params=kept)
        first_default = next((n for n, each in enumerate(kept) if each.default is not None), len(kept))
        everyone = [*kept[:first_default], *added, *kept[first_default:]]
        last = now.params[-1].comma if now.params else cst.MaybeSentinel.DEFAULT
        after = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        more = bool(now.kwonly_params) or now.star_arg is not cst.MaybeSentinel.DEFAULT or now.star_kwarg is not None
        spaced = [
            each if isinstance(each.comma, cst.Comma) and n < len(everyone) - 1 else each.with_changes(comma=after)
            for n, each in enumerate(everyone)
        ]
        if spaced and not more:
            multiline = isinstance(last, cst.Comma) and isinstance(last.whitespace_after, cst.ParenthesizedWhitespace)
            spaced[-1] = spaced[-1].with_changes(comma=last if multiline else cst.MaybeSentinel.DEFAULT)
        return now.with_changes(params=spaced)

    # Statements.

    def leave_WithItem(self, original_node: cst.WithItem, updated_node: cst.WithItem) -> cst.WithItem:  # noqa: N802 - LibCST's naming
        name = self.edits.with_items.get(self.span(original_node.item))
        if name is None:
            return updated_node
        return updated_node.with_changes(
            item=cst.parse_expression("monkeypatch.context()"),
            asname=cst.AsName(
                cst.Name(name),
                whitespace_before_as=cst.SimpleWhitespace(" "),
                whitespace_after_as=cst.SimpleWhitespace(" "),
            ),
        )

    def leave_IndentedBlock(  # noqa: N802 - LibCST's naming
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        body, left = self.changed(original_node.body, updated_node.body)
        if body is None:
            return updated_node
        if not body:
            body = [cst.SimpleStatementLine([cst.Pass()])]
        return updated_node.with_changes(body=body, footer=[*left, *updated_node.footer])

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:  # noqa: N802 - LibCST's naming
        body, left = self.changed(original_node.body, updated_node.body)
        return (
            updated_node if body is None else updated_node.with_changes(body=body, footer=[*left, *updated_node.footer])
        )

    def changed(
        self, before: Sequence[cst.CSTNode], now: Sequence[cst.CSTNode]
    ) -> tuple[list[cst.CSTNode] | None, list[cst.EmptyLine]]:
        """The statements of a block after the changes, and comments left over at its end."""
        edits = self.edits
        if not any(
            self.start(each) in where
            for each in before
            for where in (edits.delete, edits.before, edits.replace, edits.marks, edits.copies)
        ):
            return None, []
        found: list[cst.CSTNode] = []
        carried: list[cst.EmptyLine] = []
        for old, new in zip(before, now, strict=True):
            pos = self.start(old)
            lines = list(getattr(new, "leading_lines", ()))
            if pos in edits.delete:
                carried += worth_keeping(lines, new, function=isinstance(old, cst.FunctionDef))
            if pos in edits.before:
                extra = self.parsed(edits.before[pos])
                extra[0] = extra[0].with_changes(leading_lines=[*carried])
                carried = []
                found += extra
            if pos in edits.delete:
                continue
            if pos in edits.replace:
                made = self.parsed(edits.replace[pos])
                found += [made[0].with_changes(leading_lines=[*carried, *lines]), *made[1:]]
            else:
                mark = [cst.EmptyLine(comment=cst.Comment(edits.marks[pos]))] if pos in edits.marks else []
                kept = old if pos in edits.copies else new
                found.append(kept.with_changes(leading_lines=[*carried, *lines, *mark]) if carried or mark else kept)
                if pos in edits.copies:
                    found.append(new.with_changes(name=cst.Name(edits.copies[pos]), leading_lines=_apart(lines)))
            carried = []
        return found, carried
