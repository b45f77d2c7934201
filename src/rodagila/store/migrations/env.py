"""Alembic's entry point: runs migrations on the connection that ``Database.open`` gives."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
