"""Pay tokens as their contracts describe themselves, and what is sent but not confirmed yet."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables of pay tokens and of unconfirmed settlements."""
    op.create_table(
        "pay_token",
        sa.Column("address", sa.String(42), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
    )
    op.create_table(
        "settlement",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("transaction", sa.String(64), nullable=False, unique=True),
        sa.Column("sender", sa.String(42), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    """Drop what ``upgrade`` added."""
    op.drop_table("settlement")
    op.drop_table("pay_token")
