"""Batches of tasks: their queue, the accounts' seats, leases and responses."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the tables of tasks."""
    op.create_table(
        "task_batch",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.String(80), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("next_place", sa.BigInteger(), nullable=False),
        sa.Column("responses", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("public_id", sa.String(64), nullable=True),
        sa.Column("contribution", sa.String(64), nullable=True),
        sa.UniqueConstraint("dao", "number"),
    )
    op.create_table(
        "task",
        sa.Column("batch", sa.String(64), sa.ForeignKey("task_batch.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("record", sa.String(64), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("gold", sa.Boolean(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    _partial_index("task_queue", "task", ["batch", "place"], "wanted > 0")
    _partial_index("task_golds", "task", ["batch", "place"], "gold")
    op.create_index("task_record", "task", ["record"])
    op.create_table(
        "seat",
        sa.Column("batch", sa.String(64), sa.ForeignKey("task_batch.id"), primary_key=True),
        sa.Column("account", sa.String(42), primary_key=True),
        sa.Column("nonce", sa.String(80), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("golds_shown", sa.Integer(), nullable=False),
        sa.Column("golds", sa.Integer(), nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("batch", sa.String(64), sa.ForeignKey("task_batch.id"), nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("dao", sa.String(64), nullable=False),
        sa.Column("account", sa.String(42), nullable=False),
        sa.Column("record", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=True),
        sa.Column("commitment", sa.String(64), nullable=True),
        sa.Column("expiry", sa.BigInteger(), nullable=True),
        sa.Column("signature", sa.String(130), nullable=True),
        sa.Column("opening", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("dao", "account", "record"),
        sa.UniqueConstraint("batch", "serial"),
    )
    _partial_index("lease_open", "lease", ["batch", "expires"], "state = 'open'")


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    """Drop what ``upgrade`` added."""
    for table in ("lease", "seat", "task", "task_batch"):
        op.drop_table(table)
