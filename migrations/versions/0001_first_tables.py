"""The log, the requests, the suppressions, the pointers and the models."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table; the log starts empty."""
    _log_tables()
    _service_tables()
    op.execute("INSERT INTO head (id, size) VALUES (1, 0)")


def _log_tables() -> None:
    op.create_table(
        "head",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
    )
    op.create_table(
        "entry",
        sa.Column("entry_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("time", sa.String(20), nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("guarantee_class", sa.String(16)),
        sa.Column("modalities", sa.Text),
        sa.Column("certificate_id", sa.String(26)),
    )
    op.create_index("entry_certificate", "entry", ["certificate_id"])
    op.create_table(
        "node",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("node_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "body",
        sa.Column("entry_index", sa.Integer, _entry(), primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )


def _service_tables() -> None:
    op.create_table(
        "request",
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("received_at", sa.String(20), nullable=False),
        sa.Column("due_by", sa.String(20), nullable=False),
        sa.Column("certificate_id", sa.String(26)),
        sa.Column("entry_index", sa.Integer, _entry()),
        sa.Column("completed_at", sa.String(20)),
    )
    op.create_table(
        "suppression",
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column(
            "request_id", sa.String(64), sa.ForeignKey("request.request_id"), primary_key=True
        ),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("lifted_at", sa.String(20)),
    )
    op.create_index("suppression_request", "suppression", ["request_id"])
    op.create_table(
        "pointer",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "model",
        sa.Column("model_id", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.String(20), nullable=False),
        sa.Column("policy_index", sa.Integer, _entry()),
        sa.Column("manifest_digest", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
    )


def _entry() -> sa.ForeignKey:
    return sa.ForeignKey("entry.entry_index")
