-- Data keys: the keys of encrypted payloads (docs/spec/integrity.md#erasure-subject).

-- The only table that links the name of a data subject to its payloads. Deleting a row removes the name from the index too.
CREATE TABLE sealbus.data_keys (
    tenant   text        NOT NULL COLLATE "C",
    key_id   uuid        NOT NULL,
    subject  text        NOT NULL COLLATE "C",
    epoch    bigint      NOT NULL CHECK (epoch BETWEEN 1 AND 4294967295),
    kek      text        NOT NULL COLLATE "C",
    wrapped  bytea       NOT NULL,
    -- Set when an erasure begins. Nothing is encrypted under the key from then on.
    closed   boolean     NOT NULL DEFAULT false,
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, key_id),
    -- Two replicas that create a subject's key at the same time create one.
    UNIQUE (tenant, subject, epoch)
);
COMMENT ON TABLE sealbus.data_keys IS 'Wrapped data keys by data subject. Erasing deletes a subject''s rows; no event row changes.';
-- Appends lock rows of this table. The fill factor leaves room for new row versions on the same page.
ALTER TABLE sealbus.data_keys SET (fillfactor = 80);
GRANT SELECT, INSERT, UPDATE, DELETE ON sealbus.data_keys TO sealbus_writer;

-- The erasures of a tenant. Every read of an encrypted event looks whether one of them names its key, and every publisher repeats
-- them at its start. The index does not contain the payload, so that the column can be cast, for example by a restore.
CREATE INDEX events_erasures ON sealbus.events (tenant, plan_no, seq) WHERE type = 'subject.erased';
-- The encrypted events of a tenant, from which an erasure counts those that it makes unreadable.
CREATE INDEX events_encrypted ON sealbus.events (tenant, plan_no, seq) WHERE payload_mode = 2;
