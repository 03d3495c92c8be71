CREATE SCHEMA IF NOT EXISTS foreshadow;

-- Which tables these are, and which records lie in their blocks.
CREATE TABLE IF NOT EXISTS foreshadow.format (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    tables int NOT NULL,
    records int NOT NULL
);

-- Who owns a shard, and under which epoch: every write of a ledger holds this row.
CREATE TABLE IF NOT EXISTS foreshadow.shards (
    shard int PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    owner text,
    address text,
    expires_at timestamptz NOT NULL DEFAULT 'epoch'
);

CREATE TABLE IF NOT EXISTS foreshadow.replicas (
    name text PRIMARY KEY,
    address text NOT NULL,
    seen_at timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS foreshadow.blocks (
    shard int NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    snapshot bool NOT NULL,
    count int NOT NULL,
    checksum bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (shard, number)
);

CREATE TABLE IF NOT EXISTS foreshadow.documents (
    shard int NOT NULL,
    name text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (shard, name)
);
