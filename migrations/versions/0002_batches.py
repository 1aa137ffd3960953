"""Requests are carried out in batches; draws from one state compose."""

import sqlalchemy as sa
from alembic import op

from mbd.errors import ConflictError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add batches; finished requests stay without one.

    Raises:
        ConflictError: A request is open: what it needs to know has another form now.
    """
    unfinished = sa.text(
        "SELECT count(*) FROM request WHERE stage NOT IN ('completed', 'cancelled')"
    )
    if op.get_bind().execute(unfinished).scalar():
        raise ConflictError(
            "a request is open: finish it with the version of mbd that began it",
            code="database.open_request",
            hint="run `mbd resume` with that version, then upgrade",
        )
    op.create_table(
        "batch",
        sa.Column("batch_id", sa.String(26), primary_key=True),
        sa.Column("queued", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text),
    )
    # Plain SQL: SQLite can add such a column, but alembic would make the table anew for it.
    op.execute("ALTER TABLE request ADD COLUMN batch_id VARCHAR(26) REFERENCES batch (batch_id)")
    op.add_column("request", sa.Column("origin", sa.String(64)))
    op.create_index("request_batch", "request", ["batch_id"])
    op.create_index("request_origin", "request", ["origin"])
