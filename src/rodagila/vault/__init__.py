"""Keeping secrets: sealed contents, the keepers of their keys, and the accounts of a home."""
