"""What a docstring in Google's style says, and what the code beneath it can raise."""

import ast
import builtins
import inspect
import re
import textwrap
from functools import cache
from typing import Any

from torch import nn

SECTION = re.compile(
    r"^(Args|Attributes|Shape|Returns|Yields|Raises|References|Examples):$", re.MULTILINE
)
ENTRY = re.compile(r"^ {4}\*{0,2}(\w+(?:, \*{0,2}\w+)*): +(\S.*(?:\n {8}.*)*)", re.MULTILINE)
SENT_TO = re.compile(r"^(\w[\w, ]*) are those of :(?:class|func):`(\w+)`", re.MULTILINE)
ARRAY = re.compile(r"Tensor|_array_like|NDArray|ndarray")
NO_ARRAY_ITSELF = re.compile(r"Callable|Mapping")


def sections(thing: Any) -> dict[str, str]:
    """Return the body of each part of a docstring by its head."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    heads = list(SECTION.finditer(doc))
    bodies = {}
    for head in heads:
        lines = doc[head.end() + 1 :].split("\n")
        end = next((i for i, line in enumerate(lines) if line and line[0] != " "), len(lines))
        bodies[head[1]] = "\n".join(lines[:end])
    return bodies


def entries(thing: Any, *parts: str) -> dict[str, str]:
    """Return what some parts of a docstring say of each name."""
    found = sections(thing)
    return {
        name.strip("*"): text
        for part in parts
        for names, text in ENTRY.findall(found.get(part, ""))
        for name in names.split(", ")
    }


def sent_to(thing: Any, word: str) -> str | None:
    """Return the name whose ``word`` ("arguments") a docstring says are its own, if it does."""
    for paragraph in inspect.cleandoc(thing.__doc__ or "").split("\n\n"):
        sentences = " ".join(paragraph.split()).replace(". ", ".\n")
        for words, name in SENT_TO.findall(sentences):
            if word in words.lower():
                return name
    return None


def parameters(thing: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function, or of the constructor of a class."""
    if inspect.isclass(thing) and thing.__init__ is nn.Module.__init__:
        return {}
    return dict(inspect.signature(thing).parameters)


def is_array(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a tensor or an array, or may be one."""
    annotation = str(parameter.annotation)
    return bool(ARRAY.search(annotation)) and not NO_ARRAY_ITSELF.search(annotation)


def raised_by(thing: Any) -> dict[type[BaseException], str]:
    """Return the errors that a function or class raises, and the call chain to the first of each.

    Followed are calls of functions and classes of seattn by their plain names; of a class the
    constructor and the call are looked into. Calls of methods are not followed, nor is what other
    libraries raise, nor an error that was caught and is raised again.
    """
    found: dict[type[BaseException], str] = {}
    for function in _functions(
        thing, "__new__", "__init__", "__post_init__", "__call__", "forward"
    ):
        for error, chain in _raised(function).items():
            found.setdefault(error, chain)
    return found


def _functions(thing: Any, *names: str) -> list[Any]:
    if inspect.isclass(thing):
        found = [vars(thing).get(name) for name in names]
    else:
        found = [inspect.unwrap(thing)]
    # What dataclass makes has no source, and raises nothing.
    return [f for f in found if inspect.isfunction(f) and f.__code__.co_filename != "<string>"]


_BEING_READ: set[Any] = set()


@cache
def _raised(function: Any) -> dict[type[BaseException], str]:
    if not function.__module__.startswith("seattn") or function in _BEING_READ:
        return {}
    _BEING_READ.add(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            name = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            error = function.__globals__.get(name, getattr(builtins, name, None))
            if inspect.isclass(error):
                found[error] = function.__qualname__
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = function.__globals__.get(node.func.id)
            for inner in _functions(called, "__new__", "__init__", "__post_init__"):
                for error, chain in _raised(inner).items():
                    found.setdefault(error, f"{function.__qualname__} > {chain}")
    _BEING_READ.remove(function)
    return found
