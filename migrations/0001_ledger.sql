-- The append-only tables (docs/spec/protocol.md#tables). Columns have the names of the record in docs/spec/integrity.md.

CREATE TABLE sealbus.deployment (
    generation        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin            text NOT NULL,
    log_id            uuid NOT NULL,
    partitions        integer NOT NULL CHECK (partitions IN (1, 2, 4, 8, 16, 32, 64)),
    system_identifier text NOT NULL,
    timeline          text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE sealbus.deployment IS 'What this ledger is: a row when it is created and one for each recover; the highest generation counts.';

CREATE TABLE sealbus.plans (
    plan_no   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant    text NOT NULL COLLATE "C",
    plan      text NOT NULL COLLATE "C",
    partition integer NOT NULL,
    UNIQUE (tenant, plan)
);
COMMENT ON TABLE sealbus.plans IS 'A narrow key for each (tenant, plan); written under the plan''s lock, in no message, file or API.';

CREATE TABLE sealbus.events (
    plan_no         bigint NOT NULL,
    seq             bigint NOT NULL,
    tenant          text NOT NULL COLLATE "C",
    event_id        uuid NOT NULL,
    type            text NOT NULL COLLATE "C",
    data_version    integer NOT NULL,
    occurred        timestamptz NOT NULL,
    recorded        timestamptz NOT NULL,
    source          text NOT NULL,
    actor           text NOT NULL,
    correlation_id  text NOT NULL,
    causation_id    text NOT NULL,
    payload_mode    smallint NOT NULL,
    payload_size    integer NOT NULL,
    payload_hash    bytea NOT NULL,
    metadata_hash   bytea NOT NULL,
    prev            bytea NOT NULL,
    kid             text NOT NULL COLLATE "C",
    event_hash      bytea NOT NULL,
    mac             bytea NOT NULL,
    sig             bytea NOT NULL,
    request_mac     bytea NOT NULL,
    payload         json,
    metadata        json NOT NULL,
    v1_payload_hash text,
    v1_prev_hash    text,
    v1_signature    text,
    PRIMARY KEY (plan_no, seq),
    CONSTRAINT events_id_once UNIQUE (tenant, event_id),
    CONSTRAINT events_no_fork UNIQUE (plan_no, prev)
);
COMMENT ON TABLE sealbus.events IS 'The chains. payload and metadata are json, not jsonb: the hash is of their text.';

CREATE TABLE sealbus.log_leaves (
    log_id     uuid NOT NULL,
    leaf_index bigint NOT NULL,
    plan_no    bigint NOT NULL,
    seq        bigint NOT NULL,
    partition  integer NOT NULL,
    leaf_hash  bytea NOT NULL,
    sealed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (log_id, leaf_index),
    UNIQUE (plan_no, seq)
);
CREATE INDEX log_leaves_partition ON sealbus.log_leaves (partition, leaf_index);
COMMENT ON TABLE sealbus.log_leaves IS 'The order in which the sealer took the events: leaf_index is dense from 0.';

CREATE TABLE sealbus.log_roots (
    log_id    uuid NOT NULL,
    size      bigint NOT NULL,
    root      bytea NOT NULL,
    prev_size bigint,
    note      text,
    PRIMARY KEY (log_id, size),
    UNIQUE (log_id, prev_size)
);
COMMENT ON TABLE sealbus.log_roots IS 'Roots and checkpoints of the log; each compare-and-set names the size it follows.';

CREATE FUNCTION sealbus.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'sealbus.% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'History is corrected by a new event, never by a change.';
END
$$;

DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['deployment', 'plans', 'events', 'log_leaves', 'log_roots'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sealbus.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change()', kept);
        EXECUTE format('GRANT SELECT, INSERT ON sealbus.%I TO sealbus_writer', kept);
    END LOOP;
END
$$;

-- Readiness checks compare the newest migration with the expected one.
GRANT SELECT ON sealbus._sqlx_migrations TO sealbus_writer;
GRANT USAGE ON SCHEMA sealbus TO sealbus_writer;
GRANT USAGE, CREATE ON SCHEMA sealbus_sinks TO sealbus_writer;
