"""The ledger's state as immutable maps, and the view of it that EELS executes on.

EELS copies every account and every contract's storage at each message call (``state.begin_transaction``). Here both
live in ``immutables.Map``, whose copy is one pointer, behind classes that offer exactly what EELS uses of a dict. So a
``World`` is a value: executing on it leaves it as it was, and threads may read one while another is being made.

>>> state = executable(World())
>>> set_account(state, address, account); change = changes(World(), state)     # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from ethereum.forks.prague.fork_types import Account, Address
from ethereum.forks.prague.state import State
from ethereum.forks.prague.trie import Trie
from ethereum_types.bytes import Bytes32
from ethereum_types.numeric import U256
from immutables import Map

from rodagila.chain.trie import EMPTY_ROOT, HexTrie, keccak256, rlp_list, rlp_number, rlp_string

Slots = Map[Bytes32, U256]
_NO_SLOTS: Slots = Map()
_ZERO = U256(0)


@dataclass(frozen=True, slots=True)
class World:
    """All accounts and all contracts' storage after some block; zero slots and empty storages are left out."""

    accounts: Map[Address, Account] = field(default_factory=Map)
    storages: Map[Address, Slots] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class Changes:
    """What one block changed: new accounts (``None``: gone) and new words by slot (zero: cleared)."""

    accounts: dict[Address, Account | None]
    storages: dict[Address, dict[Bytes32, U256]]


@dataclass(frozen=True, slots=True)
class Tries:
    """The Merkle tries of a ``World``: one over accounts, one over each contract's storage."""

    accounts: HexTrie = field(default_factory=HexTrie)
    storages: Map[Address, HexTrie] = field(default_factory=Map)


class AccountMap:
    """EELS's account trie data: a dict over an immutable map that notes the addresses it was asked to change."""

    __slots__ = ("map", "touched")

    def __init__(self, accounts: Map[Address, Account], touched: set[Address]) -> None:
        self.map, self.touched = accounts, touched

    def __copy__(self) -> AccountMap:
        return AccountMap(self.map, self.touched)

    def get(self, key: Address, default: Account | None = None) -> Account | None:
        return self.map.get(key, default)

    def __contains__(self, key: Address) -> bool:
        return key in self.map

    def __setitem__(self, key: Address, value: Account) -> None:
        self.touched.add(key)
        self.map = self.map.set(key, value)

    def __delitem__(self, key: Address) -> None:
        self.touched.add(key)
        self.map = self.map.delete(key)


class StorageMap:
    """One contract's storage trie data, a window into ``Storages`` so that a snapshot of those holds it too."""

    __slots__ = ("address", "owner")

    def __init__(self, owner: Storages, address: Address) -> None:
        self.owner, self.address = owner, address

    def _slots(self) -> Slots:
        return self.owner.map.get(self.address, _NO_SLOTS)

    def get(self, key: Bytes32, default: U256) -> U256:
        return self._slots().get(key, default)

    def __contains__(self, key: Bytes32) -> bool:
        return key in self._slots()

    def __setitem__(self, key: Bytes32, value: U256) -> None:
        self.owner.put(self.address, self._slots().set(key, value), key)

    def __delitem__(self, key: Bytes32) -> None:
        self.owner.put(self.address, self._slots().delete(key), key)

    def __eq__(self, other: object) -> bool:
        # EELS asks `trie._data == {}` to drop a storage that became empty; nothing else is ever compared.
        return other == {} and not self._slots()

    __hash__ = None  # type: ignore[assignment]


class Storages:
    """EELS's dict of storage tries; its snapshot is one pointer."""

    __slots__ = ("map", "touched")

    def __init__(self, storages: Map[Address, Slots], touched: dict[Address, set[Bytes32]]) -> None:
        self.map, self.touched = storages, touched

    def get(self, address: Address) -> Any:
        return self[address] if address in self.map else None

    def __getitem__(self, address: Address) -> Any:
        return Trie(secured=True, default=_ZERO, _data=cast(Any, StorageMap(self, address)))

    def __contains__(self, address: Address) -> bool:
        return address in self.map

    def __setitem__(self, address: Address, trie: Any) -> None:
        # set_storage() puts an empty trie here and then writes through the object it kept: make that one a window.
        trie._data = StorageMap(self, address)
        self.map = self.map.set(address, _NO_SLOTS)

    def __delitem__(self, address: Address) -> None:
        self.touched.setdefault(address, set()).update(self.map[address].keys())
        self.map = self.map.delete(address)

    def put(self, address: Address, slots: Slots, key: Bytes32) -> None:
        self.touched.setdefault(address, set()).add(key)
        self.map = self.map.set(address, slots)

    def items(self) -> Iterator[tuple[Address, Any]]:
        # begin_transaction() copies what this yields, one storage after the other, into a snapshot. Snapshots.append
        # takes the whole at once instead, so there is nothing left to copy.
        return iter(())


class Snapshots(list[Any]):
    """EELS's stack of snapshots, each holding the storages by pointer instead of by copied dict."""

    def __init__(self) -> None:
        super().__init__()
        self.state: State | None = None

    def append(self, snapshot: Any) -> None:
        storages = cast(Storages, cast(State, self.state)._storage_tries)
        super().append((snapshot[0], Storages(storages.map, storages.touched)))


def executable(world: World) -> State:
    """Return a fresh EELS state that starts as ``world`` and never changes it."""
    snapshots = Snapshots()
    state = State(
        _main_trie=Trie(secured=True, default=None, _data=cast(Any, AccountMap(world.accounts, set()))),
        _storage_tries=cast(Any, Storages(world.storages, {})),
        _snapshots=snapshots,
    )
    snapshots.state = state
    return state


def changes(before: World, state: State) -> Changes:
    """Return what execution on ``state`` changed since it was made from ``before``."""
    accounts = cast(AccountMap, state._main_trie._data)
    storages = cast(Storages, state._storage_tries)
    moved = {
        address: account
        for address in sorted(accounts.touched)
        if (account := accounts.map.get(address)) != before.accounts.get(address)
    }
    written: dict[Address, dict[Bytes32, U256]] = {}
    for address, slots in sorted(storages.touched.items()):
        old, new = before.storages.get(address, _NO_SLOTS), storages.map.get(address, _NO_SLOTS)
        words = {slot: new.get(slot, _ZERO) for slot in sorted(slots) if new.get(slot) != old.get(slot)}
        if words:
            written[address] = words
    return Changes(moved, written)


def applied(world: World, change: Changes) -> World:
    """Return the world after ``change``."""
    with world.accounts.mutate() as accounts:
        for address, account in change.accounts.items():
            if account is None:
                accounts.pop(address, None)
            else:
                accounts[address] = account
        new_accounts = accounts.finish()
    storages = world.storages
    for address, words in change.storages.items():
        slots = storages.get(address, _NO_SLOTS)
        for slot, word in words.items():
            if word:
                slots = slots.set(slot, word)
            elif slot in slots:
                slots = slots.delete(slot)
        if slots:
            storages = storages.set(address, slots)
        elif address in storages:
            storages = storages.delete(address)
    return World(new_accounts, storages)


def rehashed(tries: Tries, world: World, change: Changes) -> Tries:
    """Return the tries of ``world``, which is ``change`` after the world of ``tries``; work is per change."""
    storages = tries.storages
    for address, words in change.storages.items():
        trie = storages.get(address) or HexTrie()
        for slot, word in words.items():
            key = _hashed_key(slot)
            trie = trie.set(key, rlp_number(int(word))) if word else trie.delete(key)
        storages = storages.set(address, trie)
    accounts = tries.accounts
    for address in {**change.accounts, **change.storages}:
        account, key = world.accounts.get(address), _hashed_key(address)
        accounts = accounts.delete(key) if account is None else accounts.set(key, _leaf(account, storages.get(address)))
    return Tries(accounts, storages)


def hashed(world: World) -> Tries:
    """Return the tries of a whole world."""
    storages: Map[Address, HexTrie] = Map(
        {
            address: HexTrie.build((keccak256(slot), rlp_number(int(word))) for slot, word in slots.items())
            for address, slots in world.storages.items()
        }
    )
    return Tries(
        HexTrie.build(
            (keccak256(address), _leaf(account, storages.get(address))) for address, account in world.accounts.items()
        ),
        storages,
    )


def _leaf(account: Account, storage: HexTrie | None) -> bytes:
    root = storage.root() if storage is not None else EMPTY_ROOT
    fields = rlp_number(int(account.nonce)) + rlp_number(int(account.balance))
    return rlp_list(fields + rlp_string(root) + rlp_string(code_hash(account.code)))


@lru_cache(maxsize=4096)
def code_hash(code: bytes) -> bytes:
    """Return the code's Keccak-256; cached because a contract's code never changes but its account does."""
    return keccak256(code)


@lru_cache(maxsize=65536)
def _hashed_key(key: bytes) -> bytes:
    return keccak256(key)
