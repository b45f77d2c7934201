"""The layers of the package: imports point down only, and packages on one level do not import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

LEVELS = (
    ("core",),
    ("store", "chain"),
    ("vault",),
    ("collect", "prove", "learn", "value", "market", "govern"),
    ("reward", "serve"),
    ("client",),
    ("app",),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
PACKAGE = Path(__file__).resolve().parent.parent / "src" / "rodagila"
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_parts(tree: ast.AST) -> set[str]:
    """Return the first part after ``rodagila.`` of everything the module imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("rodagila.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    here = relative.parts[0].removesuffix(".py")
    if here == "__init__":
        return
    for there in imported_parts(ast.parse(path.read_text())) - {here, "__version__"}:
        assert LEVEL[there] < LEVEL[here], f"{relative} (level of {here}) imports {there}"


def test_every_package_has_a_level() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert packages <= set(LEVEL)
