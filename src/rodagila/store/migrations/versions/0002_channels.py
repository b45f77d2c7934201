"""Payment channels, and the payers' own names of payments."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables of channels and the column of payment identifiers."""
    op.add_column("call", sa.Column("identifier", sa.String(128), nullable=True))
    op.create_index("call_identifier", "call", ["payer", "identifier"], unique=True)
    op.create_table(
        "channel",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("payer", sa.String(42), nullable=False),
        sa.Column("receiver", sa.String(42), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("signed", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), nullable=False),
        sa.Column("leaving", sa.BigInteger(), nullable=False),
        sa.Column("leaving_since", sa.BigInteger(), nullable=False),
        sa.Column("refund_nonce", sa.BigInteger(), nullable=False),
        sa.Column("unclaimed_since", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "channel_cursor",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("block", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Drop what ``upgrade`` added."""
    op.drop_table("channel_cursor")
    op.drop_table("channel")
    op.drop_index("call_identifier", "call")
    op.drop_column("call", "identifier")
