"""Which application is served: any ASGI application, or a function that makes one for each test."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from test_framework.errors import ApplicationError
from test_framework.external.backing import Backing

__all__ = ["ASGIApp", "Application", "load_application", "reference_application"]

Message = MutableMapping[str, Any]
ASGIApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_KEYWORD = "urls"
_REFERENCE = "test_framework.external.reference.app:create_app"
_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class Application:
    """What to serve.

    Args:
        name: ``package.module:attribute``.
        target: the application, or the factory.
        factory: ``target`` is called for each test and gives the application, or something awaitable that does.
        takes_urls: the factory has a parameter ``urls``, which gets the test's :class:`Backing`.
        shared_loop: several of it may run in one event loop, since it never blocks it.
    """

    name: str
    target: Callable[..., Any]
    factory: bool
    takes_urls: bool = False
    shared_loop: bool = False

    async def make(self, backing: Backing) -> ASGIApp:
        """The application for the test that owns ``backing``. Raises what the factory raises."""
        if not self.factory:
            return cast(ASGIApp, self.target)
        made = self.target(**{_KEYWORD: backing}) if self.takes_urls else self.target()
        if inspect.isawaitable(made):
            made = await made
        if not callable(made):
            raise TypeError(f"{self.name} gave {type(made).__name__}, which is not an ASGI application")
        return cast(ASGIApp, made)


def reference_application() -> Application:
    """The service that is served when nobody names another."""
    module, _, attribute = _REFERENCE.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    return Application(name="the reference service", target=target, factory=True, takes_urls=True, shared_loop=True)


def load_application(name: str, *, root: Path | None = None) -> Application:
    """Import ``package.module:attribute``.

    Args:
        root: a directory that is searched too, behind ``sys.path``.

    Raises:
        ApplicationError: it cannot be imported, or is neither an application nor a factory.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ApplicationError(
            f"{name!r} does not name an application", fix="write package.module:create_app, or package.module:app"
        )
    if root is not None and str(root) not in sys.path:
        sys.path.append(str(root))
    try:
        target: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
    except Exception as error:
        raise ApplicationError(
            f"the application {name} cannot be imported",
            cause=f"{type(error).__name__}: {error}",
            log_tail="".join(traceback.format_exception(error, limit=-_FRAMES)),
            fix=_import_advice(error, module_name),
        ) from error
    return _recognised(name, target)


def _import_advice(error: Exception, module: str) -> str:
    top = module.partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] == top:
        return f"put the directory that holds {top} into pytest's ini value pythonpath, or install it"
    return "make 'import " + module + "' work by itself"


def _recognised(name: str, target: Any) -> Application:
    if not callable(target):
        raise ApplicationError(
            f"{name} is {type(target).__name__}, neither an ASGI application nor a function that makes one"
        )
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return Application(name=name, target=target, factory=False)
    takes_urls = _KEYWORD in signature.parameters
    if _accepts(signature, **({_KEYWORD: None} if takes_urls else {})):
        return Application(name=name, target=target, factory=True, takes_urls=takes_urls)
    if _accepts(signature, None, None, None):
        return Application(name=name, target=target, factory=False)
    raise ApplicationError(
        f"{name} cannot be called: its signature is {name.rpartition(':')[2]}{signature}",
        cause=f"a factory takes nothing, or {_KEYWORD}=; an ASGI application takes scope, receive and send",
        fix=f"give its other parameters defaults, or name a function that needs nothing but {_KEYWORD}",
    )


def _accepts(signature: inspect.Signature, *arguments: Any, **keywords: Any) -> bool:
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True
