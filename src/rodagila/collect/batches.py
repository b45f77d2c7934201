"""A batch of tasks: its terms, which the escrow's job names by their hash, and the plan of its queue.

All that is agreed stands in the terms: kind and choices, how many responses a task takes (``overlap``), what a response
is paid, who judges, until when. The price of a task is fixed before it is handed out, by how much a response to it
tells (``information``, millionths):

    price_t = price + (price_most - price) * information_t // 10^6
    budget  = sum over tasks that are no golds of overlap * price_t

Tasks and golds are numbered together in an order that a secret draws, and both roots stand in the terms, so neither a
task, nor a price, nor which tasks are golds, nor what is right can be changed later. Golds are priced like all others.

>>> price_of(10_000, 30_000, information=500_000)
20000
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rodagila.collect.tasks import KINDS, Content, answer_hash
from rodagila.core.canonical import json_hash
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import hex0x, keccak, keccak_abi
from rodagila.core.merkle import ordered_root
from rodagila.core.money import PPM

FORMAT = "rodagila-batch-1"
MAX_TASKS = 1_000_000
MAX_FILE_BYTES = 256 * 2**20
MAX_LINE_BYTES = 65_536
MAX_CHOICES, MAX_CHOICE_CHARS, MAX_INSTRUCTION_CHARS = 1_000, 200, 2_000
LEAST_GOLDS = 20
_FIELDS = {"text", "label", "outputs", "information", "truth"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What requester and accounts agree on; amounts in atomic units, times in seconds, roots as 0x hex."""

    chain_id: int
    registry: str
    task_pay: str
    requester: str
    kind: str
    instruction: str
    choices: tuple[str, ...]
    price: int
    price_most: int
    deadline: int
    evaluators: tuple[str, ...]
    threshold: int = 1
    overlap: int = 3
    least_golds: int = LEAST_GOLDS
    gold_share_ppm: int = 150_000
    peers: int = 16
    lease_seconds: int = 900
    tasks: int = 0
    golds: int = 0
    tasks_root: str = ""
    golds_root: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object whose hash is the job's subject; amounts as decimal text."""
        body = asdict(self) | {"price": str(self.price), "price_most": str(self.price_most)}
        return {"format": FORMAT, **body, "choices": list(self.choices), "evaluators": list(self.evaluators)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Terms:
        """Return the terms of ``as_json``'s object; raises ``InvalidInput`` tasks_invalid."""
        try:
            values = dict(body)
            if values.pop("format") != FORMAT:
                raise ValueError
            for name in ("choices", "evaluators"):
                values[name] = tuple(map(str, values[name]))
            for name in ("price", "price_most"):
                values[name] = int(values[name])
            terms = cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _invalid("These are not the terms of a batch of tasks") from error
        terms.check()
        return terms

    def subject(self) -> bytes:
        """Return the hash that the escrow's job carries."""
        return json_hash(self.as_json())

    def check(self) -> None:
        """Raise ``InvalidInput`` tasks_invalid if a term is not within what is allowed."""
        choices = self.choices
        wrong = {
            f"The kind {self.kind!r} is none of {', '.join(KINDS)}": self.kind not in KINDS,
            f"A batch of kind {self.kind} has two choices or more; {len(choices)} were given": self.kind == "classify"
            and not 2 <= len(set(choices)) == len(choices) <= MAX_CHOICES,
            f"Only a batch of kind classify has choices, not one of kind {self.kind}": self.kind != "classify"
            and bool(choices),
            "A choice is empty, too long or has white space at its ends": any(
                choice != " ".join(choice.split()) or not 0 < len(choice) <= MAX_CHOICE_CHARS for choice in choices
            ),
            f"An instruction has 1 to {MAX_INSTRUCTION_CHARS:,} characters": not 0
            < len(self.instruction.strip())
            <= len(self.instruction)
            <= MAX_INSTRUCTION_CHARS,
            "The price is at least 1 atomic unit, and the highest price not below it": not 1
            <= self.price
            <= self.price_most
            < 2**64,
            "The overlap is 1 to 100 responses a task": not 1 <= self.overlap <= 100,
            f"At least {LEAST_GOLDS} golds come before the first pay": self.least_golds < LEAST_GOLDS,
            "Golds are a share of at most 900,000 millionths": not 0 <= self.gold_share_ppm <= 900_000,
            "A lease lasts 1 second to 30 days": not 1 <= self.lease_seconds <= 30 * 86_400,
            "Peers are 1 to 1,000": not 1 <= self.peers <= 1_000,
            "The evaluators must be as many as their threshold asks for": not 1
            <= self.threshold
            <= len(self.evaluators)
            <= 32,
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise _invalid(message)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a requester's file: what is asked about, how much a response tells; ``truth`` makes it a gold."""

    text: str
    label: str = ""
    outputs: tuple[str, ...] = ()
    information: int = 0
    truth: str = ""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task with its number, price and place in the queue; ``truth`` is a gold's answer, empty for others."""

    number: int
    content: Content
    hash: bytes
    price: int
    place: int
    truth: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole batch: its final terms, its tasks by number, and what it costs at most."""

    terms: Terms
    tasks: tuple[PlannedTask, ...]
    budget: int


def price_of(price: int, most: int, *, information: int) -> int:
    """Return what a response is paid to a task that tells ``information`` millionths."""
    return price + (most - price) * information // PPM


def plan_batch(terms: Terms, tasks: Sequence[Item], golds: Sequence[Item], secret: bytes) -> Plan:
    """Return the plan of a batch; ``secret`` (32 bytes) draws the order and salts.

    Raises ``InvalidInput`` tasks_invalid or answer_invalid: too few golds or tasks, a record twice, a truth that is no
    answer.
    """
    _require_enough(terms, tasks, golds)
    items = [*tasks, *golds]
    order = sorted(range(len(items)), key=lambda i: keccak(secret + b"order" + i.to_bytes(8, "big")))
    made = [_planned(terms, items[i], number, secret) for number, i in enumerate(order)]
    if len({task.content.record_hash() for task in made}) != len(made):
        raise _invalid("A record stands twice among tasks and golds; an account is shown it once")
    if terms.kind in ("classify", "verify", "compare") and len({task.truth for task in made if task.truth}) < 2:
        raise _invalid("All golds have the same answer, so they tell nobody apart")
    # The most telling tasks come first, so that a budget that runs out of time was spent where it counts.
    queue = sorted((task for task in made if not task.truth), key=lambda task: (-task.price, task.number))
    places = {task.number: place for place, task in enumerate(queue)}
    places |= {task.number: place for place, task in enumerate(task for task in made if task.truth)}
    made = [replace(task, place=places[task.number]) for task in made]
    final = replace(
        terms,
        tasks=len(made),
        golds=len(golds),
        tasks_root=hex0x(tasks_root([(task.hash, task.price) for task in made])),
        golds_root=hex0x(
            golds_root(golds_salt(secret), {t.number: answer_hash(terms.kind, t.truth) for t in made if t.truth})
        ),
    )
    final.check()
    return Plan(final, tuple(made), sum(task.price for task in queue) * terms.overlap)


def golds_salt(secret: bytes) -> bytes:
    """Return what hides the golds' root until the public file opens it."""
    return keccak(secret + b"golds")


def tasks_root(rows: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the root over (task hash, price) by number."""
    return ordered_root([keccak_abi(["bytes32", "uint256"], [hashed, price]) for hashed, price in rows])


def golds_root(salt: bytes, truths: dict[int, bytes]) -> bytes:
    """Return the root over (salt, number, hash of the true answer) by number."""
    leaves = [keccak_abi(["bytes32", "uint256", "bytes32"], [salt, n, truths[n]]) for n in sorted(truths)]
    return ordered_root(leaves)


def read_items(path: Path, *, golds: bool) -> list[Item]:
    """Read a requester's file of JSON lines; golds need a ``truth``, tasks have none.

    Raises ``NotFound`` file_unknown; ``InvalidInput`` file_too_large, file_empty, json_malformed or tasks_invalid, with
    the line.
    """
    items = [_item(line, number, golds=golds) for number, line in _lines(path)]
    if not items:
        raise InvalidInput("file_empty", f"{path.name!r} holds no tasks.")
    return items


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInput("file_too_large", f"{path.name!r} is larger than {MAX_FILE_BYTES:,} bytes.")
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise _invalid(f"Line {number} has more than {MAX_LINE_BYTES:,} bytes")
                if line.strip():
                    yield number, line
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise NotFound("file_unknown", f"There is no file at {str(path)!r}.", hint="Check the path.") from None
    except OSError as error:
        raise InvalidInput("file_unreadable", f"{path.name!r} cannot be read: {error.strerror}.") from error


def _item(line: bytes, number: int, *, golds: bool) -> Item:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("json_malformed", f"Line {number} is not valid JSON.", hint="One object a line.") from error
    if not isinstance(body, dict) or not isinstance(body.get("text"), str) or set(body) - _FIELDS:
        raise _invalid(f"Line {number} is not an object of text and, where they belong, {', '.join(sorted(_FIELDS))}")
    outputs, information = body.get("outputs", []), body.get("information", 0)
    texts = [body.get("label", ""), body.get("truth", ""), *(outputs if isinstance(outputs, list) else [None])]
    if not all(isinstance(text, str) for text in texts) or not isinstance(information, int):
        raise _invalid(f"Line {number} has a label, truth or output that is no text, or information that is no number")
    if not 0 <= information <= PPM:
        raise _invalid(f"Line {number} has information {information}; it is 0 to {PPM:,} millionths")
    if bool(body.get("truth", "")) != golds:
        raise _invalid(f"Line {number} {'lacks its truth' if golds else 'has a truth, which belongs to golds only'}")
    return Item(body["text"], body.get("label", ""), tuple(outputs), information, body.get("truth", ""))


def _planned(terms: Terms, item: Item, number: int, secret: bytes) -> PlannedTask:
    salt = keccak(secret + b"task" + number.to_bytes(8, "big"))
    if not item.text.strip():
        raise _invalid("A task needs a text")
    if bool(item.label) != (terms.kind == "verify") or len(item.outputs) != (2 if terms.kind == "compare" else 0):
        raise _invalid(
            "A label belongs to tasks of kind verify, two outputs to those of kind compare, each to no other"
        )
    content = Content(terms.kind, terms.instruction, item.text, salt, terms.choices, item.label, item.outputs)
    truth = content.answer(item.truth) if item.truth else ""
    price = price_of(terms.price, terms.price_most, information=item.information)
    return PlannedTask(number, content, content.task_hash(), price, 0, truth)


def _require_enough(terms: Terms, tasks: Sequence[Item], golds: Sequence[Item]) -> None:
    terms.check()
    if not tasks or len(tasks) + len(golds) > MAX_TASKS:
        raise _invalid(f"A batch holds 1 to {MAX_TASKS:,} tasks and golds; {len(tasks) + len(golds):,} were given")
    if len(golds) < terms.least_golds:
        raise _invalid(f"{terms.least_golds} golds come before an account's first pay; {len(golds)} were given")


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("tasks_invalid", f"{message}.", hint="The form of tasks: docs/protocol.md, Tasks.")
