-- Which event was queued, not only where: an unsealed event that somebody replaces is then found by the sealer and by verify.
-- Empty in rows of publishers that are older than this migration.
ALTER TABLE sealbus.seal_queue ADD COLUMN event_hash bytea;
COMMENT ON COLUMN sealbus.seal_queue.event_hash IS 'The hash of the event that was appended here.';
