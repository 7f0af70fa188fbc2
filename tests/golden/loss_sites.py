"""The reasons of losses as the code has them: read from its source, where a `Loss` is made or a helper is told of one.
What reasons are known is `ledger.py`.
"""

from __future__ import annotations

import ast
import importlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType

import isthmusd

SERVER = Path(isthmusd.__file__).parent
HOLE = "{}"
"""Stands in a reason for what only a request tells."""

_Definition = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One reason that the code can give."""

    owner: str
    """The dialect, or `bridge`."""
    reason: str
    place: str


class UnreadableReasonError(Exception):
    """A reason is put together in a way that this reader does not follow."""


@dataclass(frozen=True)
class Module:
    """One file, with everything that is called in it."""

    path: Path
    owner: str
    tree: ast.Module

    @cached_property
    def loaded(self) -> ModuleType:
        """The module itself: names of constants are looked up in it, wherever they were imported from."""
        relative = self.path.relative_to(SERVER.parent).with_suffix("")
        return importlib.import_module(".".join(relative.parts))

    @cached_property
    def scopes(self) -> dict[ast.AST, _Definition]:
        """Node to the innermost function around it."""
        found: dict[ast.AST, _Definition] = {}
        for function in ast.walk(self.tree):
            if isinstance(function, _Definition):
                found |= {node: function for node in ast.walk(function) if node is not function}
        return found

    @cached_property
    def methods(self) -> frozenset[_Definition]:
        return frozenset(
            item
            for owner in ast.walk(self.tree)
            if isinstance(owner, ast.ClassDef)
            for item in owner.body
            if isinstance(item, _Definition)
        )

    @cached_property
    def calls(self) -> list[ast.Call]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]


@dataclass
class Reader:
    """Reads the files of one owner together: a helper of one file is called in another."""

    modules: list[Module]
    _followed: set[tuple[str, int, str]] = field(default_factory=set[tuple[str, int, str]])

    def sites(self) -> Iterator[Site]:
        """Give every reason of every `Loss`. Raises UnreadableReasonError."""
        for module in self.modules:
            for call in module.calls:
                if isinstance(call.func, ast.Name) and call.func.id == "Loss":
                    (reason,) = (item.value for item in call.keywords if item.arg == "reason")
                    for text in self._texts(reason, module, call):
                        yield Site(owner=module.owner, reason=text, place=f"{module.path.name}:{call.lineno}")

    def _texts(self, value: ast.expr, module: Module, at: ast.AST) -> Iterator[str]:
        match value:
            case ast.Constant(value=str(text)):
                yield text
            case ast.JoinedStr(values=pieces):
                choices = [list(self._piece(piece, module, at)) for piece in pieces]
                yield from ("".join(chosen) for chosen in itertools.product(*choices))
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._texts(body, module, at)
                yield from self._texts(orelse, module, at)
            case ast.Call(func=ast.Attribute(value=template, attr="format")):
                yield from self._texts(template, module, at)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get"), args=[_, *default]):
                yield from getattr(module.loaded, table).values()
                for text in default:
                    yield from self._texts(text, module, at)
            case ast.Subscript(value=ast.Name(id=table)):
                yield from getattr(module.loaded, table).values()
            case ast.Name(id=name):
                yield from self._named(name, module, at)
            case _:
                raise UnreadableReasonError(f"{module.path}:{value.lineno}: {ast.unparse(value)}")

    def _piece(self, piece: ast.expr, module: Module, at: ast.AST) -> Iterator[str]:
        match piece:
            case ast.Constant(value=str(text)):
                yield text
            case ast.FormattedValue(value=ast.Name(id=name), conversion=how) if name not in _bound(
                module.scopes.get(at)
            ):
                constant = getattr(module.loaded, name)
                yield repr(constant) if how == ord("r") else str(constant)
            case _:
                yield HOLE

    def _named(self, name: str, module: Module, at: ast.AST) -> Iterator[str]:
        scope = module.scopes.get(at)
        if scope is None or name not in _bound(scope):
            yield str(getattr(module.loaded, name))
            return
        parameters = [item.arg for item in (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)]
        if name in parameters:
            yield from self._told(scope, parameters.index(name), module, name)
            return
        for value in _assigned(name, scope):
            yield from self._texts(value, module, value)

    def _told(self, helper: _Definition, place: int, module: Module, name: str) -> Iterator[str]:
        """Give what callers of a helper say for its parameter, and its default."""
        key = (str(module.path), helper.lineno, name)
        if key in self._followed:
            return
        self._followed.add(key)
        is_method = helper in module.methods
        for user in self.modules:
            for call in user.calls:
                if _calls(call, helper.name, is_method=is_method) and (
                    user is module or is_method or _has(user, helper)
                ):
                    given = _argument(call, place - is_method, name)
                    if given is not None:
                        yield from self._texts(given, user, call)
        default = _default(helper, place)
        if default is not None:
            yield from self._texts(default, module, default)
        self._followed.discard(key)


def sites() -> list[Site]:
    """Give every reason that dialects and the bridge can give."""
    found: dict[tuple[str, str], Site] = {}
    for reader in _readers():
        for site in reader.sites():
            found.setdefault((site.owner, site.reason), site)
    return list(found.values())


def _readers() -> Iterator[Reader]:
    for folder in sorted(path for path in (SERVER / "dialects").iterdir() if path.is_dir()):
        yield Reader([_module(path, folder.name) for path in sorted(folder.glob("*.py"))])
    core = [path for path in sorted((SERVER / "core").glob("*.py")) if path.name != "request.py"]
    yield Reader([_module(path, "bridge") for path in core])


def _module(path: Path, owner: str) -> Module:
    return Module(path, owner, ast.parse(path.read_text(encoding="utf-8")))


def _bound(scope: _Definition | None) -> frozenset[str]:
    """Names that a function gives a meaning of its own."""
    if scope is None:
        return frozenset()
    stored = {node.id for node in ast.walk(scope) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    caught = {node.name for node in ast.walk(scope) if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name}
    parameters = (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)
    return frozenset(stored | caught | {item.arg for item in parameters})


def _assigned(name: str, scope: _Definition) -> Iterator[ast.expr]:
    """Give the expressions that a local name may stand for."""
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[target], value=value):
                yield from _matching(name, target, value)
            case ast.For(target=target, iter=source):
                yield from _each(name, target, source, scope)
            case ast.comprehension(target=target, iter=source):
                yield from _each(name, target, source, scope)
            case _:
                pass


def _each(name: str, target: ast.expr, source: ast.expr, scope: _Definition) -> Iterator[ast.expr]:
    """Give what a loop's target stands for: it goes over a table that is written down in the function."""
    if name not in {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}:
        return
    match source:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="items")):
            for value in _assigned(table, scope):
                if isinstance(value, ast.Dict):
                    for key, item in zip(value.keys, value.values, strict=True):
                        if key is not None:
                            yield from _matching(name, target, ast.Tuple(elts=[key, item], ctx=ast.Load()))
        case ast.Name(id=table):
            for value in _assigned(table, scope):
                yield from _each(name, target, value, scope)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            for item in items:
                yield from _matching(name, target, item)
        case _:
            raise UnreadableReasonError(f"{scope.name}: {name} of {ast.unparse(source)}")


def _matching(name: str, target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    match target, value:
        case ast.Name(id=bound), _ if bound == name:
            yield value
        case ast.Tuple(elts=targets), ast.Tuple(elts=values):
            for inner, item in zip(targets, values, strict=True):
                yield from _matching(name, inner, item)
        case _:
            pass


def _calls(call: ast.Call, name: str, *, is_method: bool) -> bool:
    match call.func:
        case ast.Attribute(attr=attribute):
            return is_method and attribute == name
        case ast.Name(id=function):
            return not is_method and function == name
        case _:
            return False


def _has(user: Module, helper: _Definition) -> bool:
    return getattr(user.loaded, helper.name, None) is not None


def _argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place < len(call.args) else None


def _default(helper: _Definition, place: int) -> ast.expr | None:
    positional = [*helper.args.posonlyargs, *helper.args.args]
    from_end = place - len(positional)
    return helper.args.defaults[from_end] if -len(helper.args.defaults) <= from_end < 0 else None
