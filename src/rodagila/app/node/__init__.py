"""Roles of a node other than the gateway, each a process with its own key, store and port."""
