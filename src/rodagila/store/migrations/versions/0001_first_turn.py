"""Tables of the first whole turn.

A frozen copy of the schema at this revision would drift from nothing yet: the first release creates what
``rodagila.store.schema`` says; later revisions alter it step by step.
"""

from alembic import op

from rodagila.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Drop all tables."""
    metadata.drop_all(op.get_bind())
