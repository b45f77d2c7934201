"""Make ``docs/errors.md`` from the registry of codes and from the places in the code that raise them.

    python docs/make_errors.py > docs/errors.md

A code's exit status and HTTP status are those of the classes it is raised with, directly or through a function of the
same module that is given the code; they are read from the syntax trees, so that the table says what the code does.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from rodagila.core import errors

PACKAGE = Path(errors.__file__).resolve().parent.parent
INTRODUCTION = """\
# Error codes

Made by `python docs/make_errors.py > docs/errors.md`; do not edit.

An error is one sentence that says what was given and what is required, and a next step. On the command line it goes to
stderr and the exit status is its class's; with `--json` it is `{"error": {type, title, status, detail, code, hint}}` on
stdout. Over HTTP it is problem+json (RFC 9457) with the same fields, and `code` is stable. A code without a status is
not raised: it names the problem of one line of a file, or is kept for later.

| code | meaning | exit | HTTP |
|---|---|---|---|
"""


def classes() -> dict[str, type[errors.RodaError]]:
    """Return the classes of the tree in ``core/errors.py`` by name."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.RodaError)
    }


def raised() -> dict[str, set[tuple[int, int]]]:
    """Return (exit status, HTTP status) of every class that each code is constructed with anywhere in the package."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
    statuses = {name: (kind.exit_status, kind.http_status) for name, kind in classes().items()}
    for definition in [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
        for base in definition.bases:
            if isinstance(base, ast.Name) and base.id in statuses and definition.name not in statuses:
                exit_status, http_status = statuses[base.id]
                statuses[definition.name] = (exit_status, own_http_status(definition, http_status))
    found: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for tree in trees:
        for code, status in constructed(tree, statuses):
            found[code].add(status)
    return found


def own_http_status(definition: ast.ClassDef, inherited: int) -> int:
    """Return the HTTP status that a class sets for itself, else the inherited one."""
    for item in definition.body:
        if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant):
            names = [target.id for target in item.targets if isinstance(target, ast.Name)]
            if "http_status" in names and isinstance(item.value.value, int):
                return item.value.value
    return inherited


def constructed(tree: ast.AST, statuses: dict[str, tuple[int, int]]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield (code, statuses) of every construction of an error, ``super().__init__("code", ...)`` included."""
    makers = makers_in(tree, statuses)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            codes = [part.value for part in node.args if isinstance(part, ast.Constant) and part.value in errors.CODES]
            yield from ((str(code), status) for code in codes for status in makers.get(name, ()))
        if isinstance(node, ast.ClassDef) and node.name in statuses:
            for call in [part for part in ast.walk(node) if isinstance(part, ast.Call)]:
                if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
                    yield from ((code, statuses[node.name]) for code in first_text(call))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in statuses:
            yield from ((code, statuses[node.func.id]) for code in first_text(node))


def makers_in(tree: ast.AST, statuses: dict[str, tuple[int, int]]) -> dict[str, set[tuple[int, int]]]:
    """Return, by name, the statuses of functions that construct an error from a code they are given."""
    makers: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for call in [node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args]:
            if isinstance(call.func, ast.Name) and call.func.id in statuses and isinstance(call.args[0], ast.Name):
                makers[function.name].add(statuses[call.func.id])
    return makers


def first_text(call: ast.Call) -> list[str]:
    """Return the first argument if it is a registered code, as a list of none or one."""
    first = call.args[0] if call.args else None
    is_code = isinstance(first, ast.Constant) and first.value in errors.CODES
    return [str(first.value)] if isinstance(first, ast.Constant) and is_code else []


def page() -> str:
    """Return the whole page."""
    found = raised()
    rows = []
    for code, meaning in errors.CODES.items():
        exits = sorted({status[0] for status in found.get(code, ())})
        https = sorted({status[1] for status in found.get(code, ())})
        rows.append(f"| `{code}` | {meaning} | {', '.join(map(str, exits))} | {', '.join(map(str, https))} |")
    return INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
