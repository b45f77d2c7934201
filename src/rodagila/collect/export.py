"""Reading an export: which files of it are known, what in them is the contributor's own, what is left out and why.

Sources of platforms come first; plain tables and texts are taken only where no platform's file is found, so that a
readme beside an export is not contributed. Messages of other people are left out, always; whoever wrote them has not
agreed. Records keep the order of the export, so ``start`` continues where a contribution before this one ended.

>>> export = read_export(Path("export.zip"), policy.records, me=["Ada"])              # doctest: +SKIP
>>> export.source, len(export.rows), export.left_out                                  # doctest: +SKIP
('slack', 35, {'other people': 75, 'no text': 2})
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rodagila.collect.archive import Files, open_files
from rodagila.collect.assistants import ASSISTANTS
from rodagila.collect.chat_json import CHAT_JSON
from rodagila.collect.chats import CHATS
from rodagila.collect.dkim import keys_of
from rodagila.collect.message import LEVELS, Item, Message, Source
from rodagila.collect.plain import PLAIN
from rodagila.collect.reddit import REDDIT
from rodagila.collect.sources import LineProblem, SourceRow
from rodagila.collect.takeout import TAKEOUT, mail_source
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput
from rodagila.core.policy import RecordRules
from rodagila.core.records import Record

SOURCES: tuple[Source, ...] = (*ASSISTANTS, *TAKEOUT, *CHAT_JSON, *REDDIT, *CHATS)
HEAD_BYTES = 16_384
MAX_PROBLEMS = 1_000
MAX_AUTHORS = 1_000
MAX_KEYS_BYTES = 16 * 2**20
SHOWN_AUTHORS = 20
OTHERS, EMPTY, BEFORE, BEYOND = "other people", "no text", "before the start", "beyond one contribution"
_REPORT_EVERY = 1_000
Progress = Callable[[int], None]
"""``progress(messages_read)``."""


@dataclass(frozen=True, slots=True)
class Export:
    """What an export gives for one contribution.

    ``files`` counts those read and ``ignored`` those that are no source's; ``total`` the records in the whole export;
    ``next`` is where the next contribution starts, None where none is needed; ``left_out`` counts by reason;
    ``authors`` counts messages by author where it names any; ``levels`` counts records by level of provenance.
    """

    source: str
    files: int
    ignored: int
    rows: tuple[SourceRow, ...]
    total: int
    next: int | None
    left_out: Mapping[str, int]
    authors: Mapping[str, int]
    levels: Mapping[str, int]
    problems: tuple[LineProblem, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of all but the records."""
        return {
            "source": self.source,
            "files": self.files,
            "files_ignored": self.ignored,
            "records_in_export": self.total,
            "next": self.next,
            "left_out": dict(self.left_out),
            "authors": dict(list(self.authors.items())[:SHOWN_AUTHORS]),
            "provenance": dict(self.levels),
            "problems": [{"line": item.line, "code": item.code, "message": item.message} for item in self.problems],
        }


@dataclass(slots=True)
class _Taking:
    """What was taken so far."""

    rules: RecordRules
    me: frozenset[str]
    start: int
    rows: list[SourceRow] = field(default_factory=list)
    total: int = 0
    seen: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    problems: list[LineProblem] = field(default_factory=list)

    def take(self, item: Item) -> None:
        """Put an item where it belongs; under ``on_malformed = "refuse"`` a problem is raised."""
        self.seen += 1
        if isinstance(item, LineProblem):
            self._problem(item)
            return
        if item.authors and (item.authors[0] in self.authors or len(self.authors) < MAX_AUTHORS):
            self.authors[item.authors[0]] += 1
        if not item.is_by(self.me):
            self.left_out[OTHERS] += 1
        elif not item.text.strip():
            self.left_out[EMPTY] += 1
        else:
            self._own(item)

    def _own(self, message: Message) -> None:
        record = Record(message.text, message.label, message.answer)
        try:
            size = len(canonical_json(record.as_json())) if len(message.text) <= self.rules.max_bytes else None
        except UnicodeEncodeError:
            self._problem(LineProblem(self.seen, "record_invalid", f"Message {self.seen} is not Unicode text."))
            return
        if size is None or size > self.rules.max_bytes:
            limit = f"{self.rules.max_bytes:,}"
            text = f"Message {self.seen} makes a record over the policy's limit of {limit} bytes."
            self._problem(LineProblem(self.seen, "record_too_large", text))
            return
        self.total += 1
        if self.total <= self.start:
            self.left_out[BEFORE] += 1
        elif len(self.rows) >= self.rules.max_records:
            self.left_out[BEYOND] += 1
        else:
            self.rows.append(SourceRow("", record, self.seen))
            self.levels[message.level] += 1

    def _problem(self, problem: LineProblem) -> None:
        if self.rules.on_malformed == "refuse":
            hint = "Correct it; nothing was taken."
            raise InvalidInput(problem.code, problem.message, hint=hint, line=problem.line)
        self.left_out[problem.code] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


def read_export(
    path: Path,
    rules: RecordRules,
    *,
    me: Collection[str] = (),
    start: int = 0,
    keys: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Export:
    """Read the export at ``path`` (a file, a folder or a zip) for one contribution, from record ``start`` on.

    ``me`` are the names, addresses or ids under which the contributor is an author in it, ``keys`` archived DKIM
    keys by name. Holds at most ``rules.max_records`` records. Raises ``NotFound`` file_unknown; ``InvalidInput``
    archive_unsafe, archive_damaged, file_unreadable, file_empty, json_malformed, record_too_large and what
    `sources.read_records` raises.
    """
    taking = _Taking(rules, frozenset(name.casefold() for name in me), start)
    with open_files(path) as files:
        chosen = list(_chosen(files, (*SOURCES, mail_source(keys or {}))))
        for source, name in chosen:
            for item in source.read(files, name, rules):
                taking.take(item)
                if progress and taking.seen % _REPORT_EVERY == 0:
                    progress(taking.seen)
        if not taking.seen:
            raise InvalidInput("file_empty", f"{files.name!r} holds no records.", hint="Is the export complete?")
    beyond = taking.left_out.pop(BEYOND, 0)
    return Export(
        source="+".join(sorted({source.name for source, _ in chosen})),
        files=len(chosen),
        ignored=len(files.entries) - len(chosen),
        rows=tuple(taking.rows),
        total=taking.total,
        next=start + len(taking.rows) if beyond else None,
        left_out=dict(sorted(taking.left_out.items())),
        authors=dict(taking.authors.most_common()),
        levels={level: taking.levels[level] for level in LEVELS if taking.levels[level]},
        problems=tuple(taking.problems),
    )


def _chosen(files: Files, platforms: tuple[Source, ...]) -> Iterator[tuple[Source, str]]:
    """Yield the files to read, each with its source: platforms' files, or else plain ones."""
    for sources in (platforms, PLAIN):
        found = False
        for entry in files.entries:
            head = files.head(entry.name, HEAD_BYTES)
            source = next((source for source in sources if source.recognises(entry.name, head)), None)
            if source:
                found = True
                yield source, entry.name
        if found:
            return
    raise InvalidInput(
        "file_unreadable",
        f"{files.name!r} holds no file of a known format.",
        hint="docs/operations.md lists the exports that can be read.",
    )


def require_own(export: Export) -> None:
    """Raise ``InvalidInput`` author_unknown if the export names authors and none of them is the contributor."""
    if export.total or not export.left_out.get(OTHERS):
        return
    names = ", ".join(repr(name[:60]) for name in list(export.authors)[:10])
    raise InvalidInput(
        "author_unknown",
        f"The export has messages of {len(export.authors):,} people and does not say which of them you are: {names}.",
        hint="Say it: --as NAME",
    )


def archived_keys(path: Path) -> dict[str, str]:
    """Return the archived DKIM keys of a file by name; raises ``NotFound`` file_unknown, ``InvalidInput``."""
    with open_files(path) as files:
        found = (
            keys_of(files.head(files.entries[0].name, MAX_KEYS_BYTES).decode("utf-8", "replace"))
            if files.entries
            else {}
        )
    if not found:
        raise InvalidInput(
            "file_unreadable",
            f"{path.name!r} holds no archived DKIM key.",
            hint="One a line: SELECTOR._domainkey.DOMAIN v=DKIM1; p=...",
        )
    return found
