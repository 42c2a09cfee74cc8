-- The hash of the queued event, by which the sealer and verification find an unsealed event that was replaced. It is null in
-- rows of publishers that are older than this migration (docs/spec/protocol.md#seal-hash).
ALTER TABLE sealbus.seal_queue ADD COLUMN event_hash bytea;
COMMENT ON COLUMN sealbus.seal_queue.event_hash IS 'The hash of the event that was appended here.';
