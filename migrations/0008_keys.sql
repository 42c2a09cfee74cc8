-- The keys that may sign (docs/spec/integrity.md#keys-signing, decision 0010).

-- This table decides what can be appended, not what a verifier trusts: that is in plan _keys and in the verifier's keyring.
-- With a false row, events can be written that no verifier accepts, or valid ones are refused. It proves nothing.
CREATE TABLE sealbus.signing_keys (
    kid      text PRIMARY KEY COLLATE "C",
    standing text NOT NULL CHECK (standing IN ('signs', 'retired', 'revoked')),
    since    timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE sealbus.signing_keys IS 'The keys that plan _keys has added, and whether events may still be sealed by them.';
GRANT SELECT, INSERT, UPDATE ON sealbus.signing_keys TO sealbus_writer;

-- For an existing ledger: the keys that its plan _keys names.
INSERT INTO sealbus.signing_keys (kid, standing)
SELECT DISTINCT e.payload ->> 'kid', 'signs'
FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
WHERE p.tenant = '_system' AND p.plan = '_keys' AND e.type = 'key.added';

-- The advisory lock of a signing key. Like all locks except those of plans it is not negative.
CREATE FUNCTION sealbus.signing_lock(kid text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('sealbus/signing-key' || kid, 0) & 9223372036854775807;

-- The function of 0002, with the settings of 0004, and with `signer`, the key that seals the batch. It first takes the lock of the
-- key, shared, so that ending the key waits for this transaction. It then looks the key up, in a new snapshot that is younger
-- than the lock. So nothing commits under a key after it was ended, no matter how long a process was paused. This costs one lock
-- and one index look-up for each batch, and no round trip.
DROP FUNCTION sealbus.lock_plans;
CREATE FUNCTION sealbus.lock_plans(
    tenants text[], plans text[], keys bigint[], id_tenants text[], ids uuid[], wait boolean, signer text
) RETURNS TABLE (
    plan_at integer, locked boolean, plan_no bigint, seq bigint, event_hash bytea, kid text, recorded timestamptz,
    v1_signature text, now timestamptz, id_at integer
) LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    granted boolean[] := array_fill(true, ARRAY[cardinality(keys)]);
    clock timestamptz;
    state text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sealbus.lock_plans needs read committed, not %', current_setting('transaction_isolation');
    END IF;
    PERFORM pg_advisory_xact_lock_shared(sealbus.signing_lock(signer));
    SELECT k.standing INTO state FROM sealbus.signing_keys k WHERE k.kid = signer;
    IF state IS DISTINCT FROM 'signs' THEN
        RAISE EXCEPTION 'key % may not sign', signer USING ERRCODE = 'SB001', DETAIL = coalesce(state, 'unknown');
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

GRANT EXECUTE ON FUNCTION sealbus.lock_plans, sealbus.signing_lock TO sealbus_writer;
