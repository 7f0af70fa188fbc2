"""The store's tables, as the code reads and writes them. How a store gets them is `migrations/`'s.

Loading this module loads SQLAlchemy, which takes a second: only what runs in a thread, at the first use of the store,
imports it, never what every worker loads at its start.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

STRING = Text().with_variant(Text(collation="C"), "postgresql")
"""Ordered by code point in every database: pages follow each other by id."""
NAMES = JSON(none_as_null=True)
"""A list of names; NULL: no restriction."""

meta = Table(
    "meta",
    metadata,
    Column("name", STRING, primary_key=True),
    Column("value", STRING, nullable=False),
)

generation = Table(
    "generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one"),
)
"""One row: the number of the last change. Each change takes the next one, and holds the row until it is committed."""

changes = Table(
    "changes",
    metadata,
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", STRING, nullable=False),
    Column("subject", STRING, nullable=False),
    Column("at", Double, nullable=False),
    Index("ix_changes_at", "at"),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", STRING, primary_key=True),
    Column("name", STRING, nullable=False),
    Column("models", NAMES),
    Column("projects", NAMES),
    Column("forward", STRING, nullable=False),
    Column("calls", Integer),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
)

provider_keys = Table(
    "provider_keys",
    metadata,
    Column("tenant", STRING, ForeignKey("tenants.id"), primary_key=True),
    Column("provider", STRING, primary_key=True),
    Column("name", STRING, primary_key=True),
    Column("place", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""`name` is empty for a credential without one; `place` orders those of one provider."""

projects = Table(
    "projects",
    metadata,
    Column("tenant", STRING, ForeignKey("tenants.id"), primary_key=True),
    Column("name", STRING, primary_key=True),
    Column("record_bodies", Boolean, nullable=False),
)

subjects = Table(
    "subjects",
    metadata,
    Column("issuer", STRING, primary_key=True),
    Column("subject", STRING, primary_key=True),
    Column("tenant", STRING, ForeignKey("tenants.id"), nullable=False),
    Index("ix_subjects_tenant", "tenant"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", STRING, primary_key=True),
    Column("tenant", STRING, ForeignKey("tenants.id"), nullable=False),
    Column("name", STRING, nullable=False),
    Column("role", STRING, nullable=False),
    Column("models", NAMES),
    Column("projects", NAMES),
    Column("forward", STRING, nullable=False),
    Column("kid", STRING, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Index("ix_keys_tenant", "tenant", "id"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", STRING, primary_key=True),
    Column("tenant", STRING, nullable=False),
    Column("method", STRING, nullable=False),
    Column("issuer", STRING, nullable=False),
    Column("model", STRING),
    Column("project", STRING),
    Column("compress_audio", Boolean),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("custody", LargeBinary),
    Index("ix_credentials_created_at", "created_at"),
    Index("ix_credentials_expires_at", "expires_at"),
    Index("ix_credentials_issuer", "tenant", "method", "issuer", "created_at"),
)
"""`tenant` is no foreign key: the tenant of calls that no tenant's credential makes has no row."""

records = Table(
    "records",
    metadata,
    Column("id", STRING, primary_key=True),
    Column("ended_at", Double, nullable=False),
    Column("tenant", STRING),
    Column("project", STRING),
    Column("key_id", STRING),
    Column("operation", STRING, nullable=False),
    Column("model", STRING),
    Column("provider", STRING),
    Column("target_model", STRING),
    Column("status", Integer, nullable=False),
    Column("end", STRING, nullable=False),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("data", LargeBinary, nullable=False),
    Column("asked", LargeBinary),
    Column("answered", LargeBinary),
    Index("ix_records_ended_at", "ended_at"),
    Index("ix_records_tenant", "tenant", "ended_at"),
    Index("ix_records_project", "project", "ended_at"),
    Index("ix_records_key_id", "key_id", "ended_at"),
)
"""`data` is the record as JSON; `asked` and `answered` are sealed."""
