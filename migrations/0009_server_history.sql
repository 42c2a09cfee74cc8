-- The histories of the database server that an operator has confirmed (docs/spec/protocol.md#repair-failover), and the programs
-- that can use this schema.

CREATE TABLE sealbus.confirmed_histories (
    generation        bigint NOT NULL,
    system_identifier text NOT NULL,
    timeline          text NOT NULL,
    confirmed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (generation, system_identifier, timeline)
);
COMMENT ON TABLE sealbus.confirmed_histories IS 'Histories of the server, besides that of deployment, in which appends are allowed.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sealbus.confirmed_histories
    FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change();
GRANT SELECT, INSERT ON sealbus.confirmed_histories TO sealbus_writer;

-- An existing ledger was used up to now, whatever failovers it has behind it.
INSERT INTO sealbus.confirmed_histories (generation, system_identifier, timeline)
SELECT d.generation, c.system_identifier::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
FROM sealbus.deployment d, pg_control_system() c
WHERE d.generation = (SELECT max(generation) FROM sealbus.deployment)
ON CONFLICT DO NOTHING;

-- The oldest migration whose programs can use the present schema. A migration that they cannot use replaces this function.
CREATE FUNCTION sealbus.compatible_since() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 9;
COMMENT ON FUNCTION sealbus.compatible_since() IS 'Programs that expect this migration or a later one can use this schema.';
GRANT EXECUTE ON FUNCTION sealbus.compatible_since() TO sealbus_writer;
