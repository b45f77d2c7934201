"""Policy files: read one with every problem named by line, field and fix; write one with a comment for every field.

A file leaves out what it does not change; only the name is required. Unknown names, wrong kinds, values out of bounds
and rules that contradict each other are reported all at once, as ``policy_invalid``.

>>> load_policy("name: docs\\npool:\\n  treasury_cut: 20%\\n").pool.treasury_cut_ppm
200000
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.policy import SECTIONS, Policy
from rodagila.govern.conflicts import conflicts_in
from rodagila.govern.document import MAX_BYTES, Problem, Unreadable, read_mapping
from rodagila.govern.fields import BY_SECTION, FIELDS, SECTION_MEANINGS, Field
from rodagila.govern.values import Value, WrongValue, check_bounds, range_text, read_value, shown, write_value

MAX_PROBLEMS = 50
TEXT = "The policy"
_Found = dict[Field, tuple[Value, int]]  # what was read, and its line


def load_policy(source: Path | str) -> Policy:
    """Return the policy of a file (``Path``) or of YAML text (``str``).

    Raises ``InvalidInput`` (``policy_invalid``), whose ``details["problems"]`` list {line, field, problem, fix}, and
    ``NotFound`` (``file_unknown``).
    """
    name = str(source) if isinstance(source, Path) else TEXT
    try:
        tree = read_mapping(_text_of(source) if isinstance(source, Path) else source)
    except Unreadable as error:
        raise _invalid(name, [error.problem]) from error
    found: _Found = {}
    problems = []
    for problem in _walk(tree, found):
        problems.append(problem)
        if len(problems) == MAX_PROBLEMS:
            break
    if not problems:
        policy = _build(found)
        problems = _conflicts(policy, {field.path: line for field, (_, line) in found.items()})
    if problems:
        raise _invalid(name, sorted(problems, key=lambda problem: problem.line))
    return policy


def check_policy(policy: Policy) -> None:
    """Raise ``InvalidInput`` (``policy_invalid``) unless ``policy`` is one that a file could hold."""
    problems = []
    for field in FIELDS:
        try:
            check_bounds(field, field.value_in(policy))
            if field.choices and field.value_in(policy) not in field.choices:
                raise WrongValue("this is not one of the choices", f"Give {' or '.join(field.choices)}.")
        except WrongValue as error:
            problems.append(Problem(0, field.path, error.problem, error.fix))
    problems += _conflicts(policy, {})
    if problems:
        raise _invalid(TEXT, problems)


def dump_policy(policy: Policy) -> str:
    """Return the YAML of ``policy`` with every field and its meaning; ``load_policy`` gives an equal policy back."""
    lines = ["# The policy of a data DAO. A field that is left out has the value of `roda policy default`."]
    for section, fields in BY_SECTION.items():
        indent = "  " if section else ""
        if section:
            lines += ["", f"{section}:  # {SECTION_MEANINGS[section]}"]
        for field in fields:
            value = f"{indent}{field.name}: {write_value(field, field.value_in(policy))}"
            lines.append(f"{value:<36}  # {field.meaning}")
    return "\n".join(lines) + "\n"


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound("file_unknown", f"There is no file {path}.", hint="Give the path of a policy file.") from error
    except OSError as error:
        raise InvalidInput(
            "file_unreadable", f"{path} cannot be read: {error.strerror}.", hint="Give the path of a readable file."
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) > MAX_BYTES:  # cut in the middle of a character: the size is the problem to report
            return data.decode("utf-8-sig", "replace")
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(line, "the file is not UTF-8 text", "Save it as UTF-8.") from error


def _invalid(name: str, problems: list[Problem]) -> InvalidInput:
    first = problems[0]
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    if len(problems) == MAX_PROBLEMS:
        number += " or more"
    where = f"line {first.line}" if first.line else "the first"
    what = f"{first.field}: {first.problem}" if first.field else first.problem
    return InvalidInput(
        "policy_invalid",
        f"{name} has {number}; {where}: {what}.",
        hint=first.fix,
        problems=[problem.as_json() for problem in problems],
    )


def _walk(tree: yaml.MappingNode, found: _Found) -> Iterator[Problem]:
    """Yield the problems of the whole tree; put what is right into ``found``."""
    fields = {field.name: field for field in BY_SECTION[""]}
    for name, line, node in _entries(tree, ""):
        if isinstance(name, Problem):
            yield name
        elif name in fields:
            yield from _read(fields[name], line, node, found)
        elif name not in SECTIONS:
            yield _unknown(line, "", name, [*fields, *SECTIONS])
        elif isinstance(node, yaml.MappingNode):
            yield from _walk_section(name, node, found)
        elif not _is_null(node):
            yield Problem(
                line, name, "this is a section, not a value", "Put its fields below it, indented by two spaces."
            )
    if not any(key.value == "name" for key, _ in tree.value):
        yield Problem(1, "name", "the name is missing", 'Add a line like name: "my-dao".')


def _walk_section(section: str, tree: yaml.MappingNode, found: _Found) -> Iterator[Problem]:
    fields = {field.name: field for field in BY_SECTION[section]}
    for name, line, node in _entries(tree, section):
        if isinstance(name, Problem):
            yield name
        elif name in fields:
            yield from _read(fields[name], line, node, found)
        else:
            yield _unknown(line, section, name, list(fields))


def _entries(tree: yaml.MappingNode, section: str) -> Iterator[tuple[str | Problem, int, yaml.Node]]:
    seen: dict[str, int] = {}
    for key, node in tree.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield Problem(line, section, "a field's name must be a word", 'Write "field: value".'), line, node
        elif key.value in seen:
            path = f"{section}.{key.value}" if section else key.value
            problem = f"this field was already given on line {seen[key.value]}"
            yield Problem(line, path[:100], problem, "Keep one of the two."), line, node
        else:
            seen[key.value] = line
            yield key.value, line, node


def _read(field: Field, line: int, node: yaml.Node, found: _Found) -> Iterator[Problem]:
    if not isinstance(node, yaml.ScalarNode):
        yield Problem(line, field.path, "this field holds one value, not a list or a section", _example(field))
    elif _is_null(node):
        yield Problem(line, field.path, "no value is given", _example(field))
    else:
        try:
            found[field] = (read_value(field, node.value, quoted=node.style in ("'", '"')), line)
        except WrongValue as error:
            yield Problem(line, field.path, error.problem, error.fix)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("", "~", "null")


def _example(field: Field) -> str:
    default = field.value_in(Policy(name="my-dao"))
    return f"Write it like {field.name}: {write_value(field, default)}."


def _unknown(line: int, section: str, name: str, known: list[str]) -> Problem:
    near = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
    elsewhere = [field.path for field in FIELDS if field.name == name]
    if near:
        fix = f"Did you mean {near[0]}?"
    elif elsewhere:
        fix = f"It belongs to a section: {elsewhere[0]}."
    else:
        fix = f"Known here: {', '.join(known)}."
    where = f"in {section}" if section else "at the top"
    return Problem(line, f"{section}.{name}"[:100].lstrip("."), f"{shown(name)} is not a field {where}", fix)


def _build(found: _Found) -> Policy:
    values: dict[str, Any] = {section: {} for section in SECTIONS}
    for field, (value, _) in found.items():
        (values[field.section] if field.section else values)[field.attribute] = value
    return Policy.from_json(values)


def _conflicts(policy: Policy, lines: dict[str, int]) -> list[Problem]:
    problems = []
    for conflict in conflicts_in(policy):
        given = [path for path in conflict.fields if path in lines]
        path = given[0] if given else conflict.fields[0]
        problems.append(Problem(lines.get(path, 0), path, conflict.problem, conflict.fix))
    return problems


def field_table() -> list[dict[str, str]]:
    """Return a row for every field: its path, default, range and meaning."""
    example = Policy(name="my-dao")
    return [
        {
            "field": field.path,
            "default": write_value(field, field.value_in(example)).strip('"') if field.path != "name" else "(required)",
            "range": range_text(field),
            "meaning": field.meaning,
        }
        for field in FIELDS
    ]
