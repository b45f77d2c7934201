"""The YAML of a policy file as a tree with line numbers, with everything a policy does not need refused.

The parser's events are walked before a tree is built: anchors, aliases, tags, several documents and deep nesting are
refused there, so a small file cannot unfold into a large one. Source: YAML 1.1 as PyYAML parses it.

>>> [(key.value, key.start_mark.line + 1) for key, _ in read_mapping("name: docs\\nversion: 2\\n").value]
[('name', 1), ('version', 2)]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
MAX_DEPTH = 3
MAX_EVENTS = 2_000  # a policy with every field has about a hundred; reading stops there, so no file is slow


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a policy file: line (from 1), field (empty for the whole file), what, and what to do."""

    line: int
    field: str
    problem: str
    fix: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of ``policy_invalid``'s details."""
        return {"line": self.line, "field": self.field, "problem": self.problem, "fix": self.fix}


class Unreadable(ValueError):
    """The text is not one plain YAML mapping; ``problem`` says where and why."""

    def __init__(self, line: int, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem = Problem(line, "", problem, fix)


def read_mapping(text: str) -> yaml.MappingNode:
    """Return the top mapping of ``text`` (an empty one for an empty text); raises ``Unreadable``."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise Unreadable(1, f"the file has more than {MAX_BYTES // 1024} KiB", "A policy is a page long; shorten it.")
    try:
        _refuse_unfolding(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(
            mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}", _SYNTAX
        ) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, "the file has a character that YAML does not allow", "Remove it.") from error
    except yaml.YAMLError as error:
        raise Unreadable(1, "this is not YAML", _SYNTAX) from error
    if node is None:
        return yaml.MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(node, yaml.MappingNode):
        raise Unreadable(1, "the file is not a list of fields", 'Begin with a line "name: …".')
    return node


_SYNTAX = 'Write "field: value" on each line, sections indented by two spaces.'


def _refuse_unfolding(text: str) -> None:
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if count > MAX_EVENTS:
            raise Unreadable(line, "the file has too many fields", "See `roda policy fields` for those that exist.")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Unreadable(line, "anchors and aliases are not allowed", "Write the value where it is used.")
        if getattr(event, "tag", None):
            raise Unreadable(line, "tags are not allowed", "Remove the word that begins with an exclamation mark.")
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise Unreadable(line, "the file has several documents", "Keep one policy in one file; remove the ---.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise Unreadable(line, "the fields are nested too deep", "A policy has sections, and fields in sections.")
