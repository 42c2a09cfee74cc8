-- Data keys: what encrypted payloads are read with, and erased by. INTEGRITY.md, Erasure.

-- The one place where a data subject's name stands beside its payloads, and it is in an index here too: both go with the row.
CREATE TABLE sealbus.data_keys (
    tenant   text        NOT NULL COLLATE "C",
    key_id   uuid        NOT NULL,
    subject  text        NOT NULL COLLATE "C",
    epoch    bigint      NOT NULL CHECK (epoch BETWEEN 1 AND 4294967295),
    kek      text        NOT NULL COLLATE "C",
    wrapped  bytea       NOT NULL,
    -- An erasure has begun: nothing more is encrypted under the key.
    closed   boolean     NOT NULL DEFAULT false,
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, key_id),
    -- Two replicas that make a subject's key at once make one.
    UNIQUE (tenant, subject, epoch)
);
COMMENT ON TABLE sealbus.data_keys IS 'Wrapped data keys by data subject. Erasing deletes a subject''s rows; no event row changes.';
-- Appends lock rows here for as long as they run: room for the new version of a row on its own page.
ALTER TABLE sealbus.data_keys SET (fillfactor = 80);
GRANT SELECT, INSERT, UPDATE, DELETE ON sealbus.data_keys TO sealbus_writer;

-- All erasures of a tenant: which of them names a key is asked by every read of an encrypted event, and every publisher that
-- starts carries them out again. No index is over a payload: its column can then be cast and cast back, as a restore may do.
CREATE INDEX events_erasures ON sealbus.events (tenant, plan_no, seq) WHERE type = 'subject.erased';
-- The encrypted events of a tenant, among which an erasure counts those that it made unreadable.
CREATE INDEX events_encrypted ON sealbus.events (tenant, plan_no, seq) WHERE payload_mode = 2;
