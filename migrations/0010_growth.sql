-- Reads, queues and retention whose cost does not grow with the ledger (decision 0020).

-- The keys that an erasure names. It is null for a payload that no erasure of Sealbus has, so that one wrong row stops no read.
-- It takes the text of the payload, so that the column can still be cast, for example by a restore.
CREATE FUNCTION sealbus.erased_keys(payload text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN ARRAY(SELECT jsonb_array_elements_text(payload::jsonb -> 'keys'));
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
-- The data key that an encrypted payload names, as text. It is null for a payload that no event of Sealbus has, for the same reason.
CREATE FUNCTION sealbus.data_key_of(payload text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN payload::json ->> 'key';
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
-- A read of an encrypted event looks up whether an erasure names its key. Without this index it parses all erasures of the tenant.
CREATE INDEX events_erased_keys ON sealbus.events USING gin (sealbus.erased_keys(payload::text)) WITH (fastupdate = off)
    WHERE type = 'subject.erased';
-- Returns the places of the events that erase any of these keys, in whatever plan. It has planner settings of its own, because the
-- sessions of Sealbus do not use bitmap scans, and an index of this kind can be read by nothing else.
CREATE FUNCTION sealbus.erasures_of(keys text[]) RETURNS TABLE (plan_no bigint, seq bigint) LANGUAGE plpgsql STABLE
    SET enable_bitmapscan = on
    SET enable_indexscan = off
    SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT e.plan_no, e.seq FROM sealbus.events e
        WHERE e.type = 'subject.erased' AND sealbus.erased_keys(e.payload::text) && keys;
END
$$;

-- Returns the highest seq of a plan whose leaf has a log index below `below`, or null. The leaves of a plan have the order of seq,
-- so that bisection finds it, in a number of look-ups that grows with the logarithm of the plan's length. The last leaf is looked
-- at first, because in most calls it is the one.
CREATE FUNCTION sealbus.last_seq_below(log uuid, plan bigint, below bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint := 0;
    high bigint;
    middle bigint;
BEGIN
    SELECT l.seq INTO high FROM sealbus.log_leaves l WHERE l.plan_no = plan ORDER BY l.seq DESC LIMIT 1;
    middle := high;
    WHILE low < high LOOP
        IF EXISTS (SELECT FROM sealbus.log_leaves l WHERE l.plan_no = plan AND l.seq = middle AND l.log_id = log AND l.leaf_index < below) THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
        middle := low + (high - low + 1) / 2;
    END LOOP;
    RETURN nullif(low, 0);
END
$$;
GRANT EXECUTE ON FUNCTION sealbus.erased_keys, sealbus.data_key_of, sealbus.erasures_of, sealbus.last_seq_below TO sealbus_writer;

-- The partition of the plan, for rows that are not live. It is a part of the index by which a process finds the positions that are
-- due in its partitions, without those in others.
ALTER TABLE sealbus.positions ADD COLUMN partition integer;
COMMENT ON COLUMN sealbus.positions.partition IS 'The partition of the plan. It may be null in a live row.';
UPDATE sealbus.positions pos SET partition = p.partition FROM sealbus.plans p WHERE p.plan_no = pos.plan_no AND pos.state <> 'live';
-- A trigger, because processes of the release before do not write the column. It runs once for each row, when it is not live for
-- the first time.
CREATE FUNCTION sealbus.set_partition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT p.partition INTO NEW.partition FROM sealbus.plans p WHERE p.plan_no = NEW.plan_no;
    RETURN NEW;
END
$$;
CREATE TRIGGER set_partition BEFORE INSERT OR UPDATE ON sealbus.positions
    FOR EACH ROW WHEN (NEW.state <> 'live' AND NEW.partition IS NULL) EXECUTE FUNCTION sealbus.set_partition();
-- Subscription and partition (0 to 63) are one number, so that no statement can be planned with this index, or without it, by mistake:
-- while the table has a few rows, every index that a condition fits costs the same.
CREATE INDEX positions_due ON sealbus.positions ((subscription_no * 64 + partition), next_at) WHERE state <> 'live';
DROP INDEX sealbus.positions_owed;

-- The sealer deletes the roots between two anchored checkpoints. The first root and the newest signed one cannot be deleted, and
-- no row can be changed.
DROP TRIGGER append_only ON sealbus.log_roots;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON sealbus.log_roots
    FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change();
CREATE FUNCTION sealbus.keep_root() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.size > 0 AND EXISTS (SELECT FROM sealbus.log_roots r WHERE r.log_id = OLD.log_id AND r.size > OLD.size AND r.note IS NOT NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the first root and the newest signed one in sealbus.log_roots are kept: DELETE is refused'
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER keep_root BEFORE DELETE ON sealbus.log_roots FOR EACH ROW EXECUTE FUNCTION sealbus.keep_root();
GRANT DELETE ON sealbus.log_roots TO sealbus_writer;

-- Expired beacons are deleted in the order of their age.
CREATE INDEX beacons_at ON sealbus.beacons (at);

-- Queues: a row is inserted and deleted once. By default autovacuum waits for a share of the table, which is no measure for a table
-- whose size changes from empty to millions of rows.
ALTER TABLE sealbus.outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
ALTER TABLE sealbus.seal_queue SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
ALTER TABLE sealbus.log_roots SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Tables whose rows are updated again and again: the free space of a page takes the next version of a row, so that no index has to
-- be changed. Small ones are vacuumed after a number of changes.
ALTER TABLE sealbus.positions SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE sealbus.floors SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE sealbus.leases SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE sealbus.checkpoints SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE sealbus.tiles SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000);

-- Tables that only grow: their statistics, and the visibility of their pages, follow the growth in smaller steps.
ALTER TABLE sealbus.plans SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE sealbus.events SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE sealbus.log_leaves SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
