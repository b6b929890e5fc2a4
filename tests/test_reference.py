"""The reference pages and the public names agree, and no docstring lacks a part that it needs."""

import builtins
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from torch import nn

import seattn
from tests.docstrings import entries, is_array, parameters, raised_by, sections, sent_to

PAGES = Path(__file__).parents[1] / "docs" / "reference"
ROOMS = sorted(m.name for m in pkgutil.iter_modules(seattn.__path__))
NO_ROOMS = {"index", "glossary"}

# Parts that a name goes without although the rules ask for them, and why.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("LayerList", "Args"): "a tuple, made by list_layers; it has the constructor of every tuple",
    ("download", "run"): "fetches from the hub",
    ("as_torchmetric", "run"): "torchmetrics is no dependency; tests/peers runs it",
    ("Cache", "ValueError"): "caught where it is raised, and told as a CacheError",
    ("fuse_for_inference", "UnfitError"): "caught where it is raised, and told in the report",
    ("predict_folder", "UnfitError"): "caught where it is raised, in `fuse_for_inference`",
    ("read_segment", "Examples"): "a segmentation takes a page to write: test_mask_files.py",
    **{
        (name, error): "of `limits` and `frame`, which this function does not let choose"
        for name in ("read_mask", "read_segment")
        for error in ("ValueError", "TypeError")
    },
    ("read_series", "TypeError"): "of `limits` and `frame`, which it does not let choose",
}
# Second names of a function: the page says so, in place of the same text once more.
ALIASES = {"ppv": "precision", "sensitivity": "recall"}
SHAPE = re.compile(r"\([\w +*]*,[\w +*,]*\)|\(\)|shape|expands to|As in")
LABELS = ("y_true", "y_pred")
ALL_ARRAYS = re.compile(r"\b[Aa]rrays (of|\()")


class Entry(NamedTuple):
    """An autodoc directive of a reference page."""

    room: str
    kind: str
    module: str
    name: str
    options: str

    @property
    def thing(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name)


def read_page(room: str) -> list[Entry]:
    found, module = [], ""
    page = (PAGES / f"{room}.md").read_text(encoding="utf-8")
    directive = r"^\.\. (currentmodule|auto(?!module)\w+):: ([\w.]+)\n((?: {3}:.*\n)*)"
    for kind, name, options in re.findall(directive, page, re.MULTILINE):
        if kind == "currentmodule":
            module = name
        else:
            *above, last = name.split(".")
            found.append(Entry(room, kind, ".".join(above) or module, last, options))
    return found


ENTRIES = [entry for room in ROOMS for entry in read_page(room)]
BY_NAME = {entry.name: entry for entry in ENTRIES}
named = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.room}-{entry.name}")


def test_every_room_has_a_page_and_every_page_a_room():
    assert {page.stem for page in PAGES.glob("*.md")} - NO_ROOMS == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_page_documents_exactly_the_public_names(room):
    module = importlib.import_module(f"seattn.{room}")
    on_page = [entry.name for entry in read_page(room) if entry.module == module.__name__]
    page = (PAGES / f"{room}.md").read_text(encoding="utf-8")
    aliases = re.findall(r"^\.\. py:data:: (\w+)$", page, re.MULTILINE)
    assert sorted(on_page + aliases) == sorted(module.__all__)
    for alias in aliases:
        assert getattr(module, alias) is getattr(module, ALIASES[alias])


def test_no_name_has_two_entries():
    assert len(BY_NAME) == len(ENTRIES)


def test_names_of_the_package_are_rooms_or_on_a_page():
    for name in set(seattn.__all__) - set(ROOMS):
        assert BY_NAME[name].thing is getattr(seattn, name)


@named
def test_entry_is_public_where_it_says_and_of_its_kind(entry):
    assert entry.name in importlib.import_module(entry.module).__all__
    assert entry.kind == f"auto{_kind(entry.thing)}"


@named
def test_docstring_has_every_part_that_it_needs(entry):
    excused = {part for name, part in EXCEPTIONS if name == entry.name}
    lacking = {part: text for part, text in _lacking(entry) if part not in excused}
    assert lacking == {}


def test_exceptions_are_needed():
    lacking = {(entry.name, part) for entry in ENTRIES for part, _ in _lacking(entry)}
    assert set(EXCEPTIONS) <= lacking


def _kind(thing: Any) -> str:
    if not inspect.isclass(thing):
        return "function"
    return "exception" if issubclass(thing, BaseException) else "class"


def _lacking(entry: Entry) -> list[tuple[str, str]]:
    rules = (_arguments, _shapes, _returns, _errors, _examples)
    return [(part, text) for rule in rules for part, text in rule(entry)]


def _own(thing: Any) -> dict[str, str]:
    return entries(thing, "Args", "Attributes")


def _sent_to(entry: Entry) -> dict[str, str]:
    """Say what the docstring to which this one sends its reader says of the arguments."""
    target = sent_to(entry.thing, "arguments")
    return _own(BY_NAME[target].thing) if target else {}


def _inherited(entry: Entry) -> dict[str, str]:
    """Say what the docstrings of public bases say of the arguments."""
    bases = entry.thing.__mro__[1:] if inspect.isclass(entry.thing) else ()
    return {
        name: text
        for base in bases
        if base.__name__ in BY_NAME
        for name, text in _own(base).items()
    }


def _arguments(entry: Entry):
    thing, wanted = entry.thing, parameters(entry.thing).keys()
    missing = wanted - _own(thing).keys() - _sent_to(entry).keys()
    for name in missing - _inherited(entry).keys():
        yield "Args", f"`{name}` is missing"
    if missing & _inherited(entry).keys() and ":show-inheritance:" not in entry.options:
        yield "Args", "those of the base need a link: `:show-inheritance:` on the page"
    for name in entries(thing, "Args").keys() - wanted:
        yield "Args", f"`{name}` is no argument"
    for name in entries(thing, "Attributes").keys() - wanted:
        if name not in thing.__annotations__ and not hasattr(thing, name):
            yield "Attributes", f"`{name}` is no attribute"


def _shapes(entry: Entry):
    shapes = sections(entry.thing).get("Shape", "")
    if inspect.isclass(entry.thing) and issubclass(entry.thing, nn.Module) and not shapes:
        yield "Shape", "a module needs it"
    said = _inherited(entry) | _sent_to(entry) | _own(entry.thing)
    doc = inspect.cleandoc(entry.thing.__doc__ or "")
    for name, parameter in parameters(entry.thing).items():
        text = said.get(name, "")
        kind = "scores" if name.startswith("y_score") else "labels" if name in LABELS else name
        shaped = SHAPE.search(text) or re.search(rf"\b({name}|{kind}|both|all)\b", shapes, re.I)
        if is_array(parameter) and not shaped and not ALL_ARRAYS.search(doc):
            yield "Shape", f"`{name}` has none"


def _returns(entry: Entry):
    if not inspect.isclass(entry.thing):
        result = inspect.signature(entry.thing).return_annotation
        if (
            result not in (None, "None")
            and not {"Returns", "Yields"} & sections(entry.thing).keys()
        ):
            yield "Returns", f"what of type {result}?"


def _errors(entry: Entry):
    target = sent_to(entry.thing, "errors")
    places = (entry.thing, BY_NAME[target].thing) if target else (entry.thing,)
    said = "\n".join(sections(place).get("Raises", "") for place in places)
    heads = re.findall(r"^ {4}(\w+(?:, \w+)*): ", said, re.MULTILINE)
    documented = [_error(name) for head in heads for name in head.split(", ")]
    for error, chain in raised_by(entry.thing).items():
        if not any(issubclass(error, known) for known in documented):
            yield error.__name__, f"of {chain}"


def _error(name: str) -> type[BaseException]:
    return getattr(builtins, name, None) or getattr(seattn.data, name)


def _examples(entry: Entry):
    text = sections(entry.thing).get("Examples", "")
    # An error is met and not made: one that only adds a name to its base needs no example.
    if _kind(entry.thing) == "exception" and "__init__" not in vars(entry.thing):
        return
    if ">>> " not in text:
        yield "Examples", "none, or not to be run"
    if "+SKIP" in text:
        yield "run", "an example is skipped"
