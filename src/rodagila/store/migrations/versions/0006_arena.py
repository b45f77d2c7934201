"""The arena: rosters of models that meet, and signed preferences between their answers."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables of rosters and preferences."""
    op.create_table(
        "roster",
        sa.Column("commitment", sa.String(64), primary_key=True),
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("gold_ppm", sa.Integer(), nullable=False),
        sa.Column("prefer_seconds", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=True),
        sa.UniqueConstraint("dao", "number"),
    )
    op.create_table(
        "preference",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("receipt_id", sa.String(64), nullable=False, unique=True),
        sa.Column("account", sa.String(42), nullable=False),
        sa.Column("preferred", sa.String(3), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.String(130), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Drop what ``upgrade`` added."""
    op.drop_table("preference")
    op.drop_table("roster")
