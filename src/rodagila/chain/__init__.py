"""The ledger: embedded or by RPC, and the contracts on it (DESIGN 4).

>>> from rodagila.chain.contracts import deploy, load_artifact
"""
