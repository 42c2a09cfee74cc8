-- The floor that appending is measured against: the same rows with the same indexes, in tables without triggers, written
-- by pgbench in batches, unsigned and unlinked. Made anew for each run.
DROP SCHEMA IF EXISTS sealbus_floor CASCADE;
CREATE SCHEMA sealbus_floor;
CREATE TABLE sealbus_floor.events (LIKE sealbus.events);
ALTER TABLE sealbus_floor.events ADD PRIMARY KEY (plan_no, seq), ADD UNIQUE (tenant, event_id), ADD UNIQUE (plan_no, prev);
CREATE TABLE sealbus_floor.outbox (LIKE sealbus.outbox INCLUDING IDENTITY);
ALTER TABLE sealbus_floor.outbox ADD PRIMARY KEY (id), ADD UNIQUE (plan_no, seq);
CREATE INDEX ON sealbus_floor.outbox (partition, id);
CREATE TABLE sealbus_floor.seal_queue (LIKE sealbus.seal_queue INCLUDING IDENTITY);
ALTER TABLE sealbus_floor.seal_queue ADD PRIMARY KEY (id);
CREATE SEQUENCE sealbus_floor.n CACHE 100;
CHECKPOINT;
