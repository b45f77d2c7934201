"""The tools that judge the contracts' tests: what is a mutant, what a finding is known by, what is covered."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = """\
contract Purse {
    uint256 public held;

    function pay(uint256 amount) external onlyOwner {
        // held >= amount, says the caller
        require(amount <= held, Short(amount, held));
        held -= amount;
        emit Paid(amount);
    }
}
"""
LCOV = """\
SF:src/Purse.sol
LF:10
LH:9
BRF:4
BRH:4
end_of_record
SF:test/Purse.t.sol
LF:5
LH:5
end_of_record
"""


def tool(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"contracts_{name}", root / "contracts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_mutants_change_one_place_of_a_function_s_body(project_root: Path) -> None:
    changes = [one.key for one in tool(project_root, "mutation").mutants_of("Purse", SOURCE)]
    guard = "require(amount <= held, Short(amount, held));"
    head = "function pay(uint256 amount) external onlyOwner {"
    assert changes == [
        f"{head} => function pay(uint256 amount) external {{",
        f"{guard} => require(amount < held, Short(amount, held));",
        f"{guard} => require(amount > held, Short(amount, held));",
        f"{guard} => require(true, Short(amount, held));",
        "held -= amount; => held += amount;",
        "held -= amount; => (dropped)",
        "emit Paid(amount); => (dropped)",
    ]


def test_survivors_carry_their_reasons_and_what_does_not_compile_is_no_mutant(project_root: Path) -> None:
    mutation = tool(project_root, "mutation")
    outcomes = ("killed", "survived", "invalid", "killed", "killed", "survived", "killed")
    judged = list(zip(mutation.mutants_of("Purse", SOURCE), outcomes, strict=True))
    row = mutation.summary("Purse", judged, {f"Purse: {judged[1][0].key}": "the same"})
    assert (row["mutants"], row["killed"]) == (6, 4)
    assert [one["why"] for one in row["survivors"]] == ["the same", ""]


def test_a_finding_is_known_by_its_detector_and_what_it_names(project_root: Path) -> None:
    function = {
        "type": "function",
        "name": "pay",
        "type_specific_fields": {"parent": {"type": "contract", "name": "Purse"}},
    }
    finding = {"check": "timestamp", "elements": [function, {"type": "node", "name": "held -= amount"}]}
    assert tool(project_root, "findings").key_of(finding) == "timestamp: Purse.pay"


@pytest.mark.parametrize(("hit", "missed"), [("9", 1), ("10", 0)])
def test_our_own_sources_alone_are_held_to_the_bar_of_coverage(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hit: str, missed: int
) -> None:
    coverage = tool(project_root, "coverage")
    report = LCOV.replace("LH:9", f"LH:{hit}")
    assert coverage.shares(report) == {"src/Purse.sol": {"lines": (int(hit), 10), "branches": (4, 4)}}
    (tmp_path / "lcov.info").write_text(report)
    monkeypatch.setattr(coverage, "CONTRACTS", tmp_path)
    assert coverage.main() == missed
