"""What another policy would change, field by field, as people write them.

>>> from dataclasses import replace
>>> from rodagila.core.policy import PriceRules
>>> before = Policy(name="docs")
>>> [change.text for change in changes_between(before, replace(before, prices=PriceRules(chat=3_000)))]
['prices.chat: 0.002 -> 0.003']
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import Policy
from rodagila.govern.conflicts import changes_of_what_is_fixed
from rodagila.govern.fields import BY_SECTION, FIELDS, Field
from rodagila.govern.policy import check_policy
from rodagila.govern.values import WrongValue, read_value, write_value


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs, with both values as text."""

    field: str
    before: str
    after: str

    @property
    def text(self) -> str:
        """The change on one line."""
        return f"{self.field}: {self.before} -> {self.after}"

    def as_json(self) -> dict[str, str]:
        """Return the row of a table."""
        return {"field": self.field, "before": self.before, "after": self.after}


def changes_between(before: Policy, after: Policy) -> list[Change]:
    """Return every field of the file that differs, in the order of the file."""
    return [
        Change(field.path, _text(field, before), _text(field, after))
        for field in FIELDS
        if field.value_in(before) != field.value_in(after)
    ]


def next_policy(present: Policy, given: Policy) -> Policy:
    """Return ``given`` as the policy that follows ``present``: one version higher, with something changed.

    What was fixed at launch must be the same. Raises ``InvalidInput`` (``policy_invalid``) with every problem.
    """
    following = replace(given, name=present.name)
    check_policy(following)
    fixed = list(changes_of_what_is_fixed(present, following))
    if fixed:
        raise InvalidInput(
            "policy_invalid",
            f"The policy cannot follow the present one: {fixed[0].problem}.",
            hint=fixed[0].fix,
            problems=[
                {"line": 0, "field": conflict.fields[0], "problem": conflict.problem, "fix": conflict.fix}
                for conflict in fixed
            ],
        )
    if replace(following, version=present.version) == present:
        raise InvalidInput("policy_invalid", "The policy changes nothing.", hint="Change a field, then propose it.")
    return following


def with_prices(present: Policy, prices: dict[str, str]) -> Policy:
    """Return the next policy with other prices, given as decimal text by route; raise ``InvalidInput``."""
    known = {field.name: field for field in BY_SECTION["prices"]}
    values: dict[str, int] = {}
    for route, text in prices.items():
        if route not in known:
            raise InvalidInput("action_invalid", f"{route!r} has no price.", hint=f"Prices: {', '.join(known)}.")
        try:
            values[known[route].attribute] = int(read_value(known[route], text, quoted=False))
        except WrongValue as error:
            raise InvalidInput("amount_invalid", f"The price of {route}: {error.problem}.", hint=error.fix) from error
    changed = replace(present, version=present.version + 1, prices=replace(present.prices, **values))
    return next_policy(present, changed)


def _text(field: Field, policy: Policy) -> str:
    return write_value(field, field.value_in(policy)).strip('"')
