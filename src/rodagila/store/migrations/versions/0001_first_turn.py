"""Tables of the first whole turn."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "dao",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("dao_id", sa.String(64), nullable=False, unique=True),
        sa.Column("registry", sa.String(42), nullable=False),
        sa.Column("treasury", sa.String(42), nullable=False),
        sa.Column("rewards", sa.String(42), nullable=False),
        sa.Column("token", sa.String(42), nullable=False),
        sa.Column("operator", sa.String(42), nullable=False),
        sa.Column("evaluator", sa.String(42), nullable=False),
        sa.Column("gateway", sa.String(42), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("policy_hash", sa.String(64), nullable=False),
        sa.Column("holdings", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "call",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("payer", sa.String(42), nullable=False),
        sa.Column("route", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("transaction", sa.String(64), nullable=True),
        sa.Column("response_hash", sa.String(64), nullable=True),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("receipt_id", sa.String(64), nullable=True, unique=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("signature", sa.String(130), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "contribution",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(42), nullable=False),
        sa.Column("nonce", sa.String(80), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("signature", sa.String(130), nullable=False),
        sa.Column("ciphertext_id", sa.String(64), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("bond", sa.BigInteger(), nullable=False),
        sa.Column("bond_authorization", sa.Text(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.Column("first_place", sa.BigInteger(), nullable=True),
        sa.UniqueConstraint("dao", "owner", "nonce"),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("receipt_id", sa.String(64), nullable=False),
        sa.Column("account", sa.String(42), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("signature", sa.String(130), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("receipt_id", "kind"),
    )
    op.create_table(
        "model",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
    )
    op.create_table(
        "turn",
        sa.Column("dao", sa.String(64), sa.ForeignKey("dao.name"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("last_block", sa.BigInteger(), nullable=True),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("queries", sa.Text(), nullable=False),
        sa.Column("public_id", sa.String(64), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
    )
    op.create_table(
        "proof",
        sa.Column("contribution", sa.String(64), sa.ForeignKey("contribution.id"), primary_key=True),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("signature", sa.String(130), nullable=False),
        sa.Column("evaluation", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Drop all tables."""
    op.drop_table("proof")
    op.drop_table("turn")
    op.drop_table("model")
    op.drop_table("feedback")
    op.drop_table("contribution")
    op.drop_table("call")
    op.drop_table("dao")
