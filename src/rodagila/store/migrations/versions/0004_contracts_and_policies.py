"""Contracts of a DAO by name, and its policies by version: a turn keeps the one it was opened under."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_CONTRACTS = {"Registry": "registry", "Treasury": "treasury", "Rewards": "rewards", "PayToken": "token"}


def upgrade() -> None:
    """Move addresses into one column and policies into a table of their own."""
    op.create_table(
        "policy",
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), primary_key=True),
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    with op.batch_alter_table("dao") as table:
        table.add_column(sa.Column("contracts", sa.Text(), nullable=False, server_default="{}"))
    with op.batch_alter_table("turn") as table:
        table.add_column(sa.Column("policy", sa.String(64), nullable=False, server_default=""))
    for row in op.get_bind().execute(sa.text("SELECT * FROM dao")).mappings().all():
        _move(dict(row))
    with op.batch_alter_table("dao") as table:
        table.alter_column("contracts", server_default=None)
        for name in (*_CONTRACTS.values(), "policy", "policy_hash"):
            table.drop_column(name)
    with op.batch_alter_table("turn") as table:
        table.alter_column("policy", server_default=None)


def _move(row: dict[str, str]) -> None:
    bind, name, digest = op.get_bind(), row["name"], row["policy_hash"]
    contracts = json.dumps({contract: row[column] for contract, column in _CONTRACTS.items()})
    bind.execute(
        sa.text("UPDATE dao SET contracts = :contracts WHERE name = :name"), {"contracts": contracts, "name": name}
    )
    bind.execute(
        sa.text("INSERT INTO policy (dao, hash, version, body) VALUES (:dao, :hash, 1, :body)"),
        {"dao": name, "hash": digest, "body": row["policy"]},
    )
    bind.execute(sa.text("UPDATE turn SET policy = :hash WHERE dao = :dao"), {"hash": digest, "dao": name})
