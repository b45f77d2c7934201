"""The command line ``roda``: nouns of the glossary, one module each; stdout is data, stderr is progress.

>>> main(["policy", "check", "policy.yaml"])  # doctest: +SKIP
"""

from rodagila.app.cli.entry import main

__all__ = ["main"]
