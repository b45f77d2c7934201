"""Ethereum JSON-RPC over the embedded ledger, without input or output: bytes of a request in, bytes of an answer out.

``methods`` lists what is answered, by ``blocks`` and ``accounts``; ``dispatch`` finds the method and words the errors;
``values`` and ``requests`` read parameters, ``forms`` gives blocks, transactions, receipts and logs their shape,
``filters`` remembers who polls for what.
Specification: https://ethereum.github.io/execution-apis and EIP-1474; where they are silent, go-ethereum's answer.
"""
