"""The HTML report of a demonstration: one file that needs no network, no script and nobody's trust.

It shows the metric by turn with its interval, what every owner earned, freeloaders beside honest owners, where the
time went, the turn table with the law ``paid + dust + rollover = pool``, and one payout explained from pool to leaf.
Everything that comes from data is escaped, and the page forbids itself all but its own style
(``default-src 'none'``).

>>> write_report(result, Path("report.html"))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import jinja2

from rodagila.app.display import cell, fraction, printable
from rodagila.app.plots import Bars, Lines, bars, lines, shortened
from rodagila.core.money import format_amount

Row = Mapping[str, Any]
HONEST = "honest"
CHARTED = 60  # owners in the bar chart; the table holds all
EXPLAINED_RECORDS = 12
TURN_COLUMNS = (
    *("turn", "records", "metric", "value", "low", "high", "calls", "pool", "paid", "slashed", "dust", "rollover"),
    *("issued", "root"),
)


def write_report(result: Row, path: Path) -> Path:
    """Write the report of ``result`` (the JSON of ``roda demo``) to ``path`` and return it; it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(render_report(result), encoding="utf-8")
    return partial.replace(path)


def render_report(result: Row) -> str:
    """Return the page of ``result``; parts whose data is absent are left out."""
    turns, owners = list(result["turns"]), by_payout(result["owners"])
    stages = list(result.get("stages") or [])
    return (
        templates()
        .get_template("report.html")
        .render(
            title=f"Rodagila: {name_of(result)}",
            facts=headline(result),
            metric=turns[0]["metric"] if turns else "metric",
            metric_plot=metric_plot(turns),
            turns=turns,
            turn_columns=TURN_COLUMNS,
            conserved=[conserves(turn) for turn in turns],
            owners=owners,
            owner_columns=owner_columns(owners),
            owner_plot=owner_plot(owners),
            left_out=max(0, len(owners) - CHARTED),
            kinds=by_kind(owners),
            kind_plot=kind_plot(by_kind(owners)),
            stage_plot=stage_plot(stages),
            stages=by_stage(stages),
            steps=steps(result.get("explanation")),
            records=explained_records(result.get("explanation")),
            audit=result["audit"],
            policy=policy_rows(result.get("policy")),
        )
    )


def name_of(result: Row) -> str:
    """Return the DAO's name."""
    dao = result.get("dao") or "demonstration"
    return printable(str(dao["name"] if isinstance(dao, Mapping) and "name" in dao else dao))


def headline(result: Row) -> list[tuple[str, str]]:
    """Return the facts at the top as (what, how much)."""
    turns, owners = result["turns"], result["owners"]
    if not turns:
        return []
    first, last = fraction(turns[0]["value"]), fraction(turns[-1]["value"])
    return [
        (f"{printable(str(turns[-1]['metric']))}, first to last turn", f"{first:.3f} → {last:.3f}"),
        ("records that take part at the end", f"{int(turns[-1]['records']):,}"),
        ("paid to owners", format_amount(sum(int(turn["paid"]) for turn in turns))),
        (
            "earned by freeloaders",
            format_amount(sum(int(owner["payout"]) for owner in owners if owner["kind"] != HONEST)),
        ),
        ("money conserved", "to the unit" if all(conserves(turn) for turn in turns) else "NOT conserved"),
        ("audit", "agrees" if result["audit"]["ok"] else "DIFFERS"),
    ]


def conserves(turn: Row) -> bool:
    """Tell whether ``paid + dust + rollover = pool`` holds exactly."""
    return int(turn["paid"]) + int(turn["dust"]) + int(turn["rollover"]) == int(turn["pool"])


def by_payout(owners: Sequence[Row]) -> list[Row]:
    """Return the owners, those that earned most first."""
    return sorted(owners, key=lambda owner: (-int(owner["payout"]), str(owner["owner"])))


def by_kind(owners: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a row for honest owners and for each kind of freeloader: how many, their mean and their sum."""
    kinds = sorted({str(owner["kind"]) for owner in owners}, key=lambda kind: (kind != HONEST, kind))
    rows = []
    for kind in kinds:
        nets = [int(owner["payout"]) for owner in owners if owner["kind"] == kind]
        rows.append({"kind": kind, "owners": len(nets), "mean": round(mean(nets)), "sum": sum(nets)})
    return rows


def by_stage(stages: Sequence[Row]) -> list[tuple[str, float]]:
    """Return the seconds of each stage over all turns, in the order in which stages first ran."""
    total: dict[str, float] = {}
    for row in stages:
        total[str(row["stage"])] = total.get(str(row["stage"]), 0.0) + float(row["seconds"])
    return list(total.items())


def owner_columns(owners: Sequence[Row]) -> list[str]:
    """Return the columns of the owners' table."""
    known = ("owner", "kind", "turn", "records", "earned", "slashed", "payout", "tokens")
    return [key for key in known if any(key in owner for owner in owners)]


def metric_plot(turns: Sequence[Row]) -> Lines | None:
    """Return the metric by turn with its interval, and the metric of the reference corpus alone where it is given."""
    values = [(fraction(turn["value"]), fraction(turn["low"]), fraction(turn["high"])) for turn in turns]
    baseline = [fraction(turn["baseline"]) for turn in turns if "baseline" in turn]
    return lines([str(turn["turn"]) for turn in turns], values, baseline[-1] if baseline else None) if values else None


def owner_plot(owners: Sequence[Row]) -> Bars | None:
    """Return what each owner was left with; freeloaders carry their kind in the label."""
    return _amount_bars(
        [(_owner_label(owner), int(owner["payout"]), _colour(str(owner["kind"]))) for owner in owners[:CHARTED]]
    )


def kind_plot(kinds: Sequence[Row]) -> Bars | None:
    """Return the mean of each kind of owner."""
    return _amount_bars([(f"{row['kind']} ({row['owners']})", row["mean"], _colour(row["kind"])) for row in kinds])


def stage_plot(stages: Sequence[Row]) -> Bars | None:
    """Return the seconds of each stage."""
    rows = [(printable(stage), seconds, f"{seconds:.1f} s", "time") for stage, seconds in by_stage(stages)]
    return bars(rows) if rows else None


def steps(explanation: Row | None) -> list[tuple[str, str]]:
    """Return why one owner earned what it earned, from the pool to the leaf, as (step, what it gave)."""
    if not explanation:
        return []
    if "steps" in explanation:
        return [(_text(step, "step", "title", "label"), _text(step, "value", "text")) for step in explanation["steps"]]
    return [(title, _explained(key, explanation[key])) for title, key in STEPS if key in explanation]


STEPS = (
    ("The owner", "owner"),
    ("Its account", "account"),
    ("Turn", "turn"),
    ("The pool of the turn", "pool"),
    ("Share of it that the measured lift releases", "lambda_ppm"),
    ("To pay in this turn", "payable"),
    ("The account's share of all value", "share_ppm"),
    ("Its payout in this turn, the sum over its records", "total"),
    ("Slashed from its bonds", "slashed"),
    ("What it had earned before", "before"),
    ("Cumulative amount in the leaf", "cumulative"),
    ("Leaf", "leaf"),
    ("Proof, from the leaf up", "proof"),
    ("Root on the ledger", "root"),
)
"""What each field of an explanation says, in the order of the computation."""


def explained_records(explanation: Row | None) -> list[dict[str, str]]:
    """Return the records of the explanation that moved most money."""
    rows = list((explanation or {}).get("records") or [])
    rows.sort(key=lambda row: -int(row.get("pay", 0)) - int(row.get("slash", 0)))
    return [
        {
            "place": cell("place", row.get("place")),
            "pay": format_amount(int(row.get("pay", 0))),
            "slash": format_amount(int(row.get("slash", 0))),
            "why": printable(str(row.get("reason", ""))),
        }
        for row in rows[:EXPLAINED_RECORDS]
    ]


def policy_rows(policy: Row | None) -> list[tuple[str, str]]:
    """Return the policy as (field, value)."""
    rows = []
    for name, value in (policy or {}).items():
        for inner, one in value.items() if isinstance(value, Mapping) else [("", value)]:
            rows.append((f"{name}.{inner}".rstrip("."), cell("policy", one)))
    return rows


def _explained(key: str, value: Any) -> str:
    if key in ("pool", "payable", "total", "slashed", "before", "cumulative"):
        return format_amount(int(value))
    if key.endswith("_ppm"):
        return f"{fraction(int(value)):.4%}"
    return cell(key, list(value) if isinstance(value, tuple) else value)


def _text(step: Any, *keys: str) -> str:
    if not isinstance(step, Mapping):
        return printable(str(step)) if "value" not in keys else ""
    return next((cell("", step[key]) for key in keys if key in step), "")


def _owner_label(owner: Row) -> str:
    name, kind = printable(str(owner["owner"])), printable(str(owner["kind"]))
    return name if kind == HONEST else f"{shortened(name, 16)} ({shortened(kind, 14)})"


def _colour(kind: str) -> str:
    return "honest" if kind == HONEST else "freeloader"


def _amount_bars(rows: Sequence[tuple[str, int, str]]) -> Bars | None:
    return (
        bars([(printable(label), float(value), format_amount(value), kind) for label, value, kind in rows])
        if rows
        else None
    )


@cache
def templates() -> jinja2.Environment:
    """Return the environment that escapes everything, shared by all pages."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rodagila.app", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda row, key: cell(key, row.get(key))
    environment.filters["printable"] = lambda value: printable(str(value))
    environment.filters["amount"] = format_amount
    return environment
