"""The demonstration's real text: docstrings of installed Python packages, every package an owner.

A record is ``qualified.name: summary`` with the rest of the prose but without its second sentence; its answer is the
qualified name. A query is the words of a name with exactly that second sentence. So a query can only be answered by
the data of the package that it asks about, and recall rises as owners join. The reference corpus, which the treasury
owns, is the standard library.

Source files are parsed, never imported. The packages are fixed and all are dependencies of this project, files are
visited in an order that depends on their names and the seed alone: the same installed versions give the same corpus.

>>> corpus = docstring_corpus(owners=2, records_per_owner=10, queries=8, seed=7)
>>> list(corpus.owners)
['networkx', 'sqlalchemy']
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import random
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from rodagila.core.records import Record

PACKAGES = (
    "networkx",
    "sqlalchemy",
    "scipy",
    "aiohttp",
    "sympy",
    "pydantic",
    "torch",
    "rich",
    "sklearn",
    "fsspec",
    "spacy",
    "websockets",
    "numpy",
    "huggingface_hub",
    "pyarrow",
    "jinja2",
    "mpmath",
    "alembic",
    "transformers",
    "lancedb",
    "pygments",
    "click",
    "joblib",
    "urllib3",
    "dbos",
    "sentence_transformers",
    "x402",
    "datasketch",
)
"""Packages with enough documented names, all dependencies of this project; topics alternate."""

MAX_CHARS = 600
MAX_QUERY_CHARS = 300
_MAX_FILE_BYTES = 150_000
_MAX_FILES = 120
_PER_FILE = 12
_SKIPPED = re.compile(
    r"(?:^|[/_.])(?:tests?|testing|conftest|idlelib|lib2to3|site-packages|__pycache__|_vendor)(?:[/_.]|$)"
)
_SECTION = re.compile(
    r"^\s*(?:\.\. |>>> |:\w+[^:\n]*:|-{3,}|={3,}|@\w|(?:Args|Arguments|Params|Parameters|Returns?|Raises|Yields|Notes?"
    r"|Examples?|Usage|See Also|References|Attributes|Warnings?|Other Parameters|Keyword Args)\s*:?\s*$)",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)(?<!cf\.)\s+(?=[A-Z`\"'(*])")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Records by owner, in the order in which owners join; what the DAO holds: reference, scoring and gate queries.

    Scoring and gate queries are about records of all owners and share no record.
    """

    owners: dict[str, list[Record]]
    reference: list[Record]
    scoring: list[Record]
    gate: list[Record]


@dataclass(frozen=True, slots=True)
class Documented:
    """A documented name of a package: its prose in sentences, at least two."""

    name: str
    sentences: tuple[str, ...]

    def record(self) -> Record:
        """Return the record: everything but the second sentence."""
        prose = " ".join((self.sentences[0], *self.sentences[2:]))
        return Record(_cut(f"{self.name}: {prose}", MAX_CHARS), answer=self.name)

    def query(self) -> Record:
        """Return the query: the words of the name and the second sentence."""
        words = " ".join(_WORD.findall(self.name.rsplit(".", 1)[-1])).lower()
        return Record(_cut(f"{words} {self.sentences[1]}", MAX_QUERY_CHARS), answer=self.name)


def docstring_corpus(
    *, owners: int = 16, records_per_owner: int = 75, queries: int = 200, reference: int = 200, seed: int = 7
) -> Corpus:
    """Return the corpus of the first ``owners`` packages that are installed and have enough documented names.

    ``queries`` is the size of the scoring set and of the gate set; both are smaller where there are too few records.
    """
    seen: set[str] = set()
    owned: dict[str, list[Documented]] = {}
    for package in PACKAGES:
        if len(owned) == owners:
            break
        found = _sample(_package_root(package), package, records_per_owner, seed, seen)
        if len(found) == records_per_owner:
            owned[package] = found
    stdlib = _sample(Path(sysconfig.get_paths()["stdlib"]), "", reference, seed, seen)
    asked = _interleaved(owned.values(), seed)
    count = min(queries, len(asked) // 2)
    return Corpus(
        owners={owner: [item.record() for item in items] for owner, items in owned.items()},
        reference=[item.record() for item in stdlib],
        scoring=[item.query() for item in asked[:count]],
        gate=[item.query() for item in asked[count : 2 * count]],
    )


def _interleaved(groups: Iterable[list[Documented]], seed: int) -> list[Documented]:
    """Return the members of all groups in turns, each group shuffled, so that every stretch asks about all owners."""
    generator = random.Random(f"{seed}:queries")  # noqa: S311 - drawn again by everybody, secret to nobody
    shuffled = [generator.sample(group, len(group)) for group in groups]
    return [item for row in zip_longest(*shuffled) for item in row if item is not None]


def _package_root(package: str) -> Path | None:
    """Return the folder of an installed top-level package without importing it."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _sample(root: Path | None, package: str, count: int, seed: int, seen: set[str]) -> list[Documented]:
    """Return up to ``count`` documented names from files drawn by ``seed``, none with prose that was ``seen``."""
    if root is None:
        return []
    generator = random.Random(f"{seed}:{package}")  # noqa: S311 - drawn again by everybody, secret to nobody
    paths = _source_files(root)
    generator.shuffle(paths)
    found: list[Documented] = []
    for path in paths[:_MAX_FILES]:
        if len(found) >= 2 * count:
            break
        items = [item for item in _documented(root, path, package) if _is_new(item, seen)]
        found += generator.sample(items, min(_PER_FILE, len(items)))
    return generator.sample(found, min(count, len(found)))


def _is_new(item: Documented, seen: set[str]) -> bool:
    """Tell whether neither sentence that identifies the item occurred before, and remember them."""
    keys = {sentence.casefold() for sentence in item.sentences[:2]}
    known = bool(keys & seen)
    seen |= keys
    return not known


def _source_files(root: Path) -> list[str]:
    """Return the relative paths of the readable modules below ``root``, sorted, so that no disk order shows."""
    paths = []
    for folder, folders, files in os.walk(root):
        inside = Path(folder).relative_to(root).as_posix()
        folders[:] = [name for name in folders if not _SKIPPED.search(name)]
        paths += [name if inside == "." else f"{inside}/{name}" for name in files if name.endswith(".py")]
    return sorted(path for path in paths if not _SKIPPED.search(path) and not path.startswith("_"))


def _documented(root: Path, path: str, package: str) -> Iterator[Documented]:
    file = root / path
    if file.stat().st_size > _MAX_FILE_BYTES:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's string escapes
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    parts = [package, *path.removesuffix(".py").removesuffix("/__init__").split("/")]
    module = ".".join(part for part in parts if part and part != "__init__")
    yield from _in_body(tree.body, module)


def _in_body(body: list[ast.stmt], prefix: str) -> Iterator[Documented]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        sentences = _sentences(ast.get_docstring(node, clean=False) or "")
        if len(sentences) >= 2 and len(sentences[0].split()) >= 3 and len(sentences[1].split()) >= 6:
            yield Documented(name, sentences)
        if isinstance(node, ast.ClassDef):
            yield from _in_body(node.body, name)


def _sentences(docstring: str) -> tuple[str, ...]:
    """Return the sentences of a docstring's prose: what stands before its first section, list of fields or example."""
    prose = inspect.cleandoc(docstring)
    section = _SECTION.search(prose)
    if section:
        prose = prose[: section.start()]
    return tuple(part for part in _SENTENCE_END.split(" ".join(prose.split())) if part)


def _cut(text: str, limit: int) -> str:
    """Return ``text`` cut at the last word that fits in ``limit`` characters."""
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0]
