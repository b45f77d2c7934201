"""Governance: the policy file of a DAO, read with errors by line and written with a comment for every field."""
