"""Methods about what happened: blocks, transactions, receipts, logs, filters, fees.

What does not exist is null, as the specification asks. A pending block is the next one, empty: nothing ever waits.

>>> BlockMethods(ledger).table()["eth_blockNumber"]([])          # doctest: +SKIP
'0x0'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from ethereum.forks.prague.blocks import Header

from rodagila.chain.embedded import BlockRecord, EmbeddedLedger
from rodagila.chain.execution import next_base_fee
from rodagila.chain.jsonrpc.dispatch import Method, Param
from rodagila.chain.jsonrpc.filters import Filters, Watch
from rodagila.chain.jsonrpc.forms import (
    Form,
    block_form,
    log_form,
    price_of,
    receipt_form,
    transaction_form,
    unmade_form,
)
from rodagila.chain.jsonrpc.requests import LogRequest, log_request
from rodagila.chain.jsonrpc.values import (
    INVALID_PARAMS,
    LIMIT,
    BlockTag,
    JsonRpcError,
    bad,
    block_tag,
    boolean,
    hash32,
    hexed,
    listed,
    percentile,
    quantity,
)
from rodagila.chain.ledger_file import PlacedLog
from rodagila.chain.transactions import decoded

MAX_LOGS = 10_000
MAX_FEE_BLOCKS = 1_024
TIP = 1
"""Wei per gas that is suggested above the base fee: there is no competition for a place."""


class BlockMethods:
    """The methods over one ledger; threads may share them."""

    def __init__(self, ledger: EmbeddedLedger, filters: Filters | None = None) -> None:
        self.ledger = ledger
        self.filters = filters or Filters()

    def table(self) -> dict[str, Method]:
        """Return each method by its name."""
        number, block_hash = Param(block_tag), Param(lambda value: BlockTag(hash=hash32(value)))
        tx_hash, index, full, logs = Param(hash32), Param(quantity), Param(boolean, default=False), Param(log_request)
        either = {"Number": number, "Hash": block_hash}
        methods = {
            "eth_blockNumber": Method(lambda: hexed(self.ledger.block_number())),
            "eth_gasPrice": Method(lambda: hexed(self.ledger.base_fee() + TIP)),
            "eth_maxPriorityFeePerGas": Method(lambda: hexed(TIP)),
            "eth_feeHistory": Method(self.fee_history, (index, number, Param(listed(percentile, 100), []))),
            "eth_getBlockReceipts": Method(self.receipts, (number,)),
            "eth_getTransactionByHash": Method(self._by_hash(transaction_form), (tx_hash,)),
            "eth_getRawTransactionByHash": Method(self._by_hash(_raw), (tx_hash,)),
            "eth_getTransactionReceipt": Method(self._by_hash(self._receipt), (tx_hash,)),
            "eth_getLogs": Method(self.logs, (logs,)),
            "eth_newFilter": Method(self.new_log_filter, (logs,)),
            "eth_newBlockFilter": Method(lambda: self._watch("block")),
            "eth_newPendingTransactionFilter": Method(lambda: self._watch("transaction")),
            "eth_getFilterChanges": Method(self.filter_changes, (index,)),
            "eth_getFilterLogs": Method(self.filter_logs, (index,)),
            "eth_uninstallFilter": Method(self.filters.remove, (index,)),
        }
        for name, tag in either.items():
            methods |= {
                f"eth_getBlockBy{name}": Method(self.block, (tag, full)),
                f"eth_getBlockTransactionCountBy{name}": Method(self._count(lambda record: len(record.rows)), (tag,)),
                f"eth_getUncleCountByBlock{name}": Method(self._count(lambda record: 0), (tag,)),
                f"eth_getUncleByBlock{name}AndIndex": Method(lambda tag, index: None, (tag, index)),
                f"eth_getTransactionByBlock{name}AndIndex": Method(self._by_place(transaction_form), (tag, index)),
                f"eth_getRawTransactionByBlock{name}AndIndex": Method(self._by_place(_raw), (tag, index)),
            }
        return methods

    def block(self, tag: BlockTag, full: bool) -> Form | None:
        """Return a block, or null."""
        if tag.tag == "pending":
            return unmade_form(self.ledger.moment().header())
        record = self._record(tag)
        return None if record is None else block_form(record, full=full)

    def receipts(self, tag: BlockTag) -> list[Form] | None:
        """Return the receipts of a block, or null."""
        record = self._record(tag)
        if record is None:
            return None
        logs = self._logs_of(record)
        return [receipt_form(record, position, logs) for position in range(len(record.rows))]

    def logs(self, wanted: LogRequest) -> list[Form]:
        """Return matching logs; more than 10,000 are refused with the usual words."""
        first, last = self._number(wanted.first), self._number(wanted.last)
        if first is None or last is None:
            raise JsonRpcError(-32000, "unknown block")
        return self._matching(wanted, first, last)

    def new_log_filter(self, wanted: LogRequest) -> str:
        """Watch for logs from the next block on and return the filter's id."""
        if wanted.first.hash is not None:
            raise bad("a filter watches a range of blocks; give no blockHash")
        return self._watch("log", wanted)

    def filter_changes(self, key: int) -> list[Any]:
        """Return what is new since the last poll: logs, or hashes of blocks or transactions."""
        watch, first, last = self.filters.poll(key, self.ledger.block_number())
        if first > last:
            return []
        if watch.kind == "log":
            least, most = self._number(watch.wanted.first), self._number(watch.wanted.last)
            first = max(first, least) if watch.wanted.first.number is not None and least is not None else first
            last = min(last, most) if watch.wanted.last.number is not None and most is not None else last
            return self._matching(watch.wanted, first, last)
        if watch.kind == "block":
            return [hexed(one) for one in self.ledger.hashes(first, last - first + 1)]
        records = (self.ledger.record(number) for number in range(first, last + 1))
        return [hexed(row.hash) for record in records if record is not None for row in record.rows]

    def filter_logs(self, key: int) -> list[Form]:
        """Return everything a log filter matches."""
        watch = self.filters.find(key)
        if watch.kind != "log":
            raise JsonRpcError(-32000, "filter not found")
        return self.logs(watch.wanted)

    def fee_history(self, count: int, newest: BlockTag, percentiles: Sequence[float]) -> Form:
        """Return base fees, fullness and, at each percentile of a block's gas, what was paid above the base fee."""
        if list(percentiles) != sorted(percentiles):
            raise JsonRpcError(INVALID_PARAMS, "invalid reward percentile: percentiles must ascend")
        last = self._number(newest)
        if last is None or last > self.ledger.block_number():
            raise JsonRpcError(-32000, "request beyond head block")
        count = min(count, MAX_FEE_BLOCKS, last + 1)
        records = [record for n in range(last + 1 - count, last + 1) if (record := self.ledger.record(n))]
        headers = [record.header for record in records]
        fees = [int(header.base_fee_per_gas) for header in headers]
        fees += [int(next_base_fee(headers[-1]))] if headers else []
        form: Form = {
            "oldestBlock": hexed(last + 1 - count),
            "baseFeePerGas": list(map(hexed, fees)),
            "gasUsedRatio": [int(header.gas_used) / int(header.gas_limit) for header in headers],
            "baseFeePerBlobGas": ["0x1"] * len(fees),
            "blobGasUsedRatio": [0.0] * len(headers),
        }
        return form | ({"reward": [_tips(record, percentiles) for record in records]} if percentiles else {})

    def _number(self, tag: BlockTag) -> int | None:
        if tag.hash is not None:
            return self.ledger.number_of(tag.hash)
        return self.ledger.block_number() if tag.number is None else min(tag.number, 2**62)

    def _record(self, tag: BlockTag) -> BlockRecord | None:
        number = self._number(tag)
        return None if number is None else self.ledger.record(number)

    def _count(self, count: Callable[[BlockRecord], int]) -> Callable[[BlockTag], str | None]:
        def answer(tag: BlockTag) -> str | None:
            record = self._record(tag)
            return None if record is None else hexed(count(record))

        return answer

    def _by_hash(self, form: Callable[[BlockRecord, int], Any]) -> Callable[[bytes], Any]:
        def answer(tx_hash: bytes) -> Any:
            found = self.ledger.record_of(tx_hash)
            return None if found is None else form(*found)

        return answer

    def _by_place(self, form: Callable[[BlockRecord, int], Any]) -> Callable[[BlockTag, int], Any]:
        def answer(tag: BlockTag, index: int) -> Any:
            record = self._record(tag)
            return None if record is None or index >= len(record.rows) else form(record, index)

        return answer

    def _receipt(self, record: BlockRecord, position: int) -> Form:
        return receipt_form(record, position, self._logs_of(record))

    def _logs_of(self, record: BlockRecord) -> list[PlacedLog]:
        number = int(record.header.number)
        return self.ledger.placed_logs((), (), number, number, -1)

    def _matching(self, wanted: LogRequest, first: int, last: int) -> list[Form]:
        found = self.ledger.placed_logs(wanted.addresses, wanted.topics, first, last, MAX_LOGS + 1)
        if len(found) > MAX_LOGS:
            raise JsonRpcError(LIMIT, f"query returned more than {MAX_LOGS} results; ask for fewer blocks at a time")
        return [log_form(log) for log in found]

    def _watch(self, kind: str, wanted: LogRequest | None = None) -> str:
        return hexed(self.filters.add(Watch(kind, self.ledger.block_number() + 1, wanted)))


def _raw(record: BlockRecord, position: int) -> str:
    return hexed(record.rows[position].raw)


def _tips(record: BlockRecord, percentiles: Sequence[float]) -> list[str]:
    """Return the tip at each percentile of the block's gas, in the order of rising tips."""
    header: Header = record.header
    base_fee = int(header.base_fee_per_gas)
    paid = sorted((price_of(decoded(row.raw), header) - base_fee, row.gas_used) for row in record.rows)
    sums = list(accumulate(gas for _, gas in paid))
    tips = []
    for share in percentiles:
        reached = (
            tip for (tip, _), total in zip(paid, sums, strict=True) if total >= int(header.gas_used) * share / 100
        )
        tips.append(hexed(next(reached, paid[-1][0] if paid else 0)))
    return tips
