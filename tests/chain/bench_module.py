"""The ledger's bench as a module: it runs anvil and replays ledgers on it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def loaded_bench(root: Path) -> ModuleType:
    """Load ``benches/bench_ledger.py`` of the checkout at ``root``."""
    spec = importlib.util.spec_from_file_location("bench_ledger", root / "benches" / "bench_ledger.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
