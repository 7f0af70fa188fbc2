"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STRING = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
DOUBLE: sa.Double[float] = sa.Double()
NAMES = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make all tables in an empty database."""
    _make_changes()
    _make_tenants()
    _make_keys()
    _make_credentials()
    _make_records()


def _make_changes() -> None:
    op.create_table(
        "meta",
        sa.Column("name", STRING, nullable=False),
        sa.Column("value", STRING, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    generation = op.create_table(
        "generation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_generation_one")),
        sa.PrimaryKeyConstraint("id", name="pk_generation"),
    )
    op.bulk_insert(generation, [{"id": 1, "value": 0}])
    op.create_table(
        "changes",
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", STRING, nullable=False),
        sa.Column("subject", STRING, nullable=False),
        sa.Column("at", DOUBLE, nullable=False),
        sa.PrimaryKeyConstraint("generation", name="pk_changes"),
    )
    op.create_index("ix_changes_at", "changes", ["at"])


def _make_tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", STRING, nullable=False),
        sa.Column("name", STRING, nullable=False),
        sa.Column("models", NAMES),
        sa.Column("projects", NAMES),
        sa.Column("forward", STRING, nullable=False),
        sa.Column("calls", sa.Integer()),
        sa.Column("created_at", DOUBLE, nullable=False),
        sa.Column("revoked_at", DOUBLE),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
    )
    op.create_table(
        "provider_keys",
        sa.Column("tenant", STRING, nullable=False),
        sa.Column("provider", STRING, nullable=False),
        sa.Column("name", STRING, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="fk_provider_keys_tenant"),
        sa.PrimaryKeyConstraint("tenant", "provider", "name", name="pk_provider_keys"),
    )
    op.create_table(
        "projects",
        sa.Column("tenant", STRING, nullable=False),
        sa.Column("name", STRING, nullable=False),
        sa.Column("record_bodies", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="fk_projects_tenant"),
        sa.PrimaryKeyConstraint("tenant", "name", name="pk_projects"),
    )
    op.create_table(
        "subjects",
        sa.Column("issuer", STRING, nullable=False),
        sa.Column("subject", STRING, nullable=False),
        sa.Column("tenant", STRING, nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="fk_subjects_tenant"),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_subjects"),
    )
    op.create_index("ix_subjects_tenant", "subjects", ["tenant"])


def _make_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", STRING, nullable=False),
        sa.Column("tenant", STRING, nullable=False),
        sa.Column("name", STRING, nullable=False),
        sa.Column("role", STRING, nullable=False),
        sa.Column("models", NAMES),
        sa.Column("projects", NAMES),
        sa.Column("forward", STRING, nullable=False),
        sa.Column("kid", STRING, nullable=False),
        sa.Column("created_at", DOUBLE, nullable=False),
        sa.Column("expires_at", DOUBLE),
        sa.Column("revoked_at", DOUBLE),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="fk_keys_tenant"),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )
    op.create_index("ix_keys_tenant", "keys", ["tenant", "id"])


def _make_credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("id", STRING, nullable=False),
        sa.Column("tenant", STRING, nullable=False),
        sa.Column("method", STRING, nullable=False),
        sa.Column("issuer", STRING, nullable=False),
        sa.Column("model", STRING),
        sa.Column("project", STRING),
        sa.Column("compress_audio", sa.Boolean()),
        sa.Column("created_at", DOUBLE, nullable=False),
        sa.Column("expires_at", DOUBLE, nullable=False),
        sa.Column("revoked_at", DOUBLE),
        sa.Column("custody", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_credentials"),
    )
    op.create_index("ix_credentials_created_at", "credentials", ["created_at"])
    op.create_index("ix_credentials_expires_at", "credentials", ["expires_at"])
    op.create_index("ix_credentials_issuer", "credentials", ["tenant", "method", "issuer", "created_at"])


def _make_records() -> None:
    op.create_table(
        "records",
        sa.Column("id", STRING, nullable=False),
        sa.Column("ended_at", DOUBLE, nullable=False),
        sa.Column("tenant", STRING),
        sa.Column("project", STRING),
        sa.Column("key_id", STRING),
        sa.Column("operation", STRING, nullable=False),
        sa.Column("model", STRING),
        sa.Column("provider", STRING),
        sa.Column("target_model", STRING),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("end", STRING, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger()),
        sa.Column("completion_tokens", sa.BigInteger()),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("asked", sa.LargeBinary()),
        sa.Column("answered", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_records"),
    )
    op.create_index("ix_records_ended_at", "records", ["ended_at"])
    op.create_index("ix_records_tenant", "records", ["tenant", "ended_at"])
    op.create_index("ix_records_project", "records", ["project", "ended_at"])
    op.create_index("ix_records_key_id", "records", ["key_id", "ended_at"])
