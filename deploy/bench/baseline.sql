-- The baseline of the append benchmark: the same rows and indexes in tables without triggers. pgbench writes them in
-- batches, unsigned and unlinked. The schema is created again for each run.
DROP SCHEMA IF EXISTS sealbus_baseline CASCADE;
CREATE SCHEMA sealbus_baseline;
CREATE TABLE sealbus_baseline.events (LIKE sealbus.events);
ALTER TABLE sealbus_baseline.events ADD PRIMARY KEY (plan_no, seq), ADD UNIQUE (tenant, event_id), ADD UNIQUE (plan_no, prev);
CREATE TABLE sealbus_baseline.outbox (LIKE sealbus.outbox INCLUDING IDENTITY);
ALTER TABLE sealbus_baseline.outbox ADD PRIMARY KEY (id), ADD UNIQUE (plan_no, seq);
CREATE INDEX ON sealbus_baseline.outbox (partition, id);
CREATE TABLE sealbus_baseline.seal_queue (LIKE sealbus.seal_queue INCLUDING IDENTITY);
ALTER TABLE sealbus_baseline.seal_queue ADD PRIMARY KEY (id);
CREATE SEQUENCE sealbus_baseline.n CACHE 100;
CHECKPOINT;
