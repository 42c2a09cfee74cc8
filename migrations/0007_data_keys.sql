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

-- Which erasure names a key: asked by every read of an encrypted event.
CREATE INDEX events_erased_keys ON sealbus.events USING gin ((payload::jsonb -> 'keys')) WHERE type = 'subject.erased';
-- All erasures: carried out again by every publisher that starts.
CREATE INDEX events_erasures ON sealbus.events (tenant, plan_no, seq) WHERE type = 'subject.erased';
-- Which events a key encrypts: reported by an erasure.
CREATE INDEX events_data_key ON sealbus.events (tenant, (payload ->> 'key')) WHERE payload_mode = 2;
