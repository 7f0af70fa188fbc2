-- Made by `python -m isthmusd.stores.migrating --snapshot`; a test compares it with the migrations.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE changes (
	generation BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	CONSTRAINT pk_changes PRIMARY KEY (generation)
);
CREATE TABLE credentials (
	id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	method TEXT NOT NULL, 
	issuer TEXT NOT NULL, 
	model TEXT, 
	project TEXT, 
	compress_audio BOOLEAN, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	revoked_at DOUBLE, 
	custody BLOB, 
	CONSTRAINT pk_credentials PRIMARY KEY (id)
);
CREATE TABLE generation (
	id INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_generation PRIMARY KEY (id), 
	CONSTRAINT ck_generation_one CHECK (id = 1)
);
INSERT INTO "generation" VALUES(1,0);
CREATE TABLE keys (
	id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	role TEXT NOT NULL, 
	models JSON, 
	projects JSON, 
	forward TEXT NOT NULL, 
	kid TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE, 
	revoked_at DOUBLE, 
	CONSTRAINT pk_keys PRIMARY KEY (id), 
	CONSTRAINT fk_keys_tenant FOREIGN KEY(tenant) REFERENCES tenants (id)
);
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY (name)
);
CREATE TABLE projects (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	record_bodies BOOLEAN NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (tenant, name), 
	CONSTRAINT fk_projects_tenant FOREIGN KEY(tenant) REFERENCES tenants (id)
);
CREATE TABLE provider_keys (
	tenant TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	name TEXT NOT NULL, 
	place INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_provider_keys PRIMARY KEY (tenant, provider, name), 
	CONSTRAINT fk_provider_keys_tenant FOREIGN KEY(tenant) REFERENCES tenants (id)
);
CREATE TABLE records (
	id TEXT NOT NULL, 
	ended_at DOUBLE NOT NULL, 
	tenant TEXT, 
	project TEXT, 
	key_id TEXT, 
	operation TEXT NOT NULL, 
	model TEXT, 
	provider TEXT, 
	target_model TEXT, 
	status INTEGER NOT NULL, 
	"end" TEXT NOT NULL, 
	prompt_tokens BIGINT, 
	completion_tokens BIGINT, 
	data BLOB NOT NULL, 
	asked BLOB, 
	answered BLOB, 
	CONSTRAINT pk_records PRIMARY KEY (id)
);
CREATE TABLE subjects (
	issuer TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	CONSTRAINT pk_subjects PRIMARY KEY (issuer, subject), 
	CONSTRAINT fk_subjects_tenant FOREIGN KEY(tenant) REFERENCES tenants (id)
);
CREATE TABLE tenants (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	models JSON, 
	projects JSON, 
	forward TEXT NOT NULL, 
	calls INTEGER, 
	created_at DOUBLE NOT NULL, 
	revoked_at DOUBLE, 
	CONSTRAINT pk_tenants PRIMARY KEY (id)
);
CREATE INDEX ix_changes_at ON changes (at);
CREATE INDEX ix_subjects_tenant ON subjects (tenant);
CREATE INDEX ix_keys_tenant ON keys (tenant, id);
CREATE INDEX ix_credentials_created_at ON credentials (created_at);
CREATE INDEX ix_credentials_expires_at ON credentials (expires_at);
CREATE INDEX ix_credentials_issuer ON credentials (tenant, method, issuer, created_at);
CREATE INDEX ix_records_ended_at ON records (ended_at);
CREATE INDEX ix_records_tenant ON records (tenant, ended_at);
CREATE INDEX ix_records_project ON records (project, ended_at);
CREATE INDEX ix_records_key_id ON records (key_id, ended_at);
COMMIT;
