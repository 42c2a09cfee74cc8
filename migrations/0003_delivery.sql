-- The state of each subscription, and the leases on the work (docs/spec/protocol.md#consume, #leases).

CREATE TABLE sealbus.subscriptions (
    subscription_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    start           text NOT NULL CHECK (start IN ('beginning', 'now'))
);

CREATE TABLE sealbus.positions (
    subscription_no bigint NOT NULL,
    plan_no         bigint NOT NULL,
    next_seq        bigint NOT NULL,
    last_hash       bytea NOT NULL,
    seen_seq        bigint NOT NULL DEFAULT 0,
    state           text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'behind', 'parked', 'dead', 'fork')),
    ask             jsonb,
    attempts        integer NOT NULL DEFAULT 0,
    next_at         timestamptz,
    first_error     text,
    last_error      text,
    epoch           bigint NOT NULL,
    moved_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscription_no, plan_no)
);
CREATE INDEX positions_owed ON sealbus.positions (subscription_no, next_at) WHERE state <> 'live';
COMMENT ON TABLE sealbus.positions IS 'Inbox, parked plan and dead letter in one: next_seq is the event to apply next, seen_seq the highest one acknowledged unapplied.';

CREATE TABLE sealbus.attempts (
    subscription_no bigint NOT NULL,
    plan_no         bigint NOT NULL,
    seq             bigint NOT NULL,
    n               integer NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    error           text NOT NULL,
    PRIMARY KEY (subscription_no, plan_no, seq, n)
);

CREATE TABLE sealbus.floors (
    subscription_no bigint NOT NULL,
    partition       integer NOT NULL,
    floor           bigint NOT NULL,
    PRIMARY KEY (subscription_no, partition)
);
COMMENT ON TABLE sealbus.floors IS 'The log index below which a subscription owes nothing that is not in its positions.';

CREATE TABLE sealbus.leases (
    kind       text NOT NULL,
    key        text NOT NULL,
    holder     text NOT NULL,
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (kind, key)
);
COMMENT ON TABLE sealbus.leases IS 'Who does which share of the work, by the database''s clock. epoch rises whenever the holder changes.';

CREATE TABLE sealbus.beacons (
    stream         text NOT NULL,
    created        timestamptz NOT NULL,
    stream_seq     bigint NOT NULL,
    msg_id         text NOT NULL,
    oldest_pending bigint,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, created, stream_seq)
);
COMMENT ON TABLE sealbus.beacons IS 'What the broker held at a moment: for finding a stream that was rolled back.';

GRANT SELECT, INSERT, UPDATE, DELETE ON
    sealbus.subscriptions, sealbus.positions, sealbus.attempts, sealbus.floors, sealbus.leases, sealbus.beacons
TO sealbus_writer;
