"""Indexes for what entries are listed by."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index for each filter; the index of the entry gives the order within."""
    op.create_index("entry_type", "entry", ["type", "entry_index"])
    op.create_index("entry_class", "entry", ["guarantee_class", "entry_index"])
    op.create_index("entry_modalities", "entry", ["modalities", "entry_index"])
    op.create_index("entry_time", "entry", ["time", "entry_index"])
