"""Rodagila."""
