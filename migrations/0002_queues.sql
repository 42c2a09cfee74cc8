-- Work that is owed: rows are deleted when the work is done (docs/spec/protocol.md#tables).

-- Both sequences have CACHE 1. With a larger cache the second event of a plan could get a lower id than its first.
CREATE TABLE sealbus.outbox (
    id        bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    partition integer NOT NULL,
    plan_no   bigint NOT NULL,
    seq       bigint NOT NULL,
    UNIQUE (plan_no, seq)
);
CREATE INDEX outbox_partition ON sealbus.outbox (partition, id);
COMMENT ON TABLE sealbus.outbox IS 'Events that the broker has not acknowledged yet.';

CREATE TABLE sealbus.seal_queue (
    id      bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    plan_no bigint NOT NULL,
    seq     bigint NOT NULL
);
COMMENT ON TABLE sealbus.seal_queue IS 'Events that have no leaf yet.';

-- Locks the plans of a batch, then reads their heads and the ids that are stored already (docs/spec/protocol.md#append-3).
-- The function has to be VOLATILE: then each of its statements takes a new snapshot, and the heads are read after the locks.
-- In one plain statement, or under repeatable read, the snapshot is older than the lock, and the chain forks.
-- `keys` are distinct and sorted; `tenants` and `plans` have the same order. If `wait` is false, a busy plan is reported.
-- Returns one row for each plan (plan_at from 1, locked = false if busy), then one row for each stored id (id_at from 1).
CREATE FUNCTION sealbus.lock_plans(
    tenants text[], plans text[], keys bigint[], id_tenants text[], ids uuid[], wait boolean
) RETURNS TABLE (
    plan_at integer, locked boolean, plan_no bigint, seq bigint, event_hash bytea, kid text, recorded timestamptz,
    v1_signature text, now timestamptz, id_at integer
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    granted boolean[] := array_fill(true, ARRAY[cardinality(keys)]);
    clock timestamptz;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sealbus.lock_plans needs read committed, not %', current_setting('transaction_isolation');
    END IF;
    FOR i IN 1 .. cardinality(keys) LOOP
        IF wait THEN
            PERFORM pg_advisory_xact_lock(keys[i]);
        ELSE
            granted[i] := pg_try_advisory_xact_lock(keys[i]);
        END IF;
    END LOOP;
    clock := clock_timestamp();
    RETURN QUERY
        SELECT w.at::integer, granted[w.at], p.plan_no, h.seq, h.event_hash, h.kid, h.recorded, h.v1_signature, clock, NULL::integer
        FROM unnest(tenants, plans) WITH ORDINALITY AS w (tenant, plan, at)
        LEFT JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan
        LEFT JOIN LATERAL (
            SELECT e.seq, e.event_hash, e.kid, e.recorded, e.v1_signature
            FROM sealbus.events e WHERE e.plan_no = p.plan_no ORDER BY e.seq DESC LIMIT 1
        ) h ON true
        ORDER BY w.at;
    RETURN QUERY
        SELECT NULL::integer, NULL::boolean, e.plan_no, e.seq, NULL::bytea, NULL::text, NULL::timestamptz, NULL::text, clock, w.at::integer
        FROM unnest(id_tenants, ids) WITH ORDINALITY AS w (tenant, id, at)
        JOIN sealbus.events e ON e.tenant = w.tenant AND e.event_id = w.id;
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON sealbus.outbox, sealbus.seal_queue TO sealbus_writer;
GRANT EXECUTE ON FUNCTION sealbus.lock_plans TO sealbus_writer;
