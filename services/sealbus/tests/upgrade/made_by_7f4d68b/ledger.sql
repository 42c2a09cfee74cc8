--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: public; Type: SCHEMA; Schema: -; Owner: pg_database_owner
--

CREATE SCHEMA public;


ALTER SCHEMA public OWNER TO pg_database_owner;

--
-- Name: SCHEMA public; Type: COMMENT; Schema: -; Owner: pg_database_owner
--

COMMENT ON SCHEMA public IS 'standard public schema';


--
-- Name: sealbus; Type: SCHEMA; Schema: -; Owner: sealbus_owner
--

CREATE SCHEMA sealbus;


ALTER SCHEMA sealbus OWNER TO sealbus_owner;

--
-- Name: lock_plans(text[], text[], bigint[], text[], uuid[], boolean, text); Type: FUNCTION; Schema: sealbus; Owner: sealbus_owner
--

CREATE FUNCTION sealbus.lock_plans(tenants text[], plans text[], keys bigint[], id_tenants text[], ids uuid[], wait boolean, signer text) RETURNS TABLE(plan_at integer, locked boolean, plan_no bigint, seq bigint, event_hash bytea, kid text, recorded timestamp with time zone, v1_signature text, now timestamp with time zone, id_at integer)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
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


ALTER FUNCTION sealbus.lock_plans(tenants text[], plans text[], keys bigint[], id_tenants text[], ids uuid[], wait boolean, signer text) OWNER TO sealbus_owner;

--
-- Name: refuse_change(); Type: FUNCTION; Schema: sealbus; Owner: sealbus_owner
--

CREATE FUNCTION sealbus.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'sealbus.% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'History is corrected by a new event, never by a change.';
END
$$;


ALTER FUNCTION sealbus.refuse_change() OWNER TO sealbus_owner;

--
-- Name: signing_lock(text); Type: FUNCTION; Schema: sealbus; Owner: sealbus_owner
--

CREATE FUNCTION sealbus.signing_lock(kid text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashtextextended(('sealbus/signing-key'::text || kid), (0)::bigint) & '9223372036854775807'::bigint);


ALTER FUNCTION sealbus.signing_lock(kid text) OWNER TO sealbus_owner;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: audit_log; Type: TABLE; Schema: public; Owner: sealbus_writer
--

CREATE TABLE public.audit_log (
    n bigint NOT NULL,
    tenant text NOT NULL,
    plan text NOT NULL,
    seq bigint NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    actor text,
    occurred_at timestamp with time zone NOT NULL,
    data jsonb,
    metadata jsonb NOT NULL
);


ALTER TABLE public.audit_log OWNER TO sealbus_writer;

--
-- Name: audit_log_n_seq; Type: SEQUENCE; Schema: public; Owner: sealbus_writer
--

ALTER TABLE public.audit_log ALTER COLUMN n ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_log_n_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: _sqlx_migrations; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);


ALTER TABLE sealbus._sqlx_migrations OWNER TO sealbus_owner;

--
-- Name: attempts; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.attempts (
    subscription_no bigint NOT NULL,
    plan_no bigint NOT NULL,
    seq bigint NOT NULL,
    n integer NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    error text NOT NULL
);


ALTER TABLE sealbus.attempts OWNER TO sealbus_owner;

--
-- Name: beacons; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.beacons (
    stream text NOT NULL,
    created timestamp with time zone NOT NULL,
    stream_seq bigint NOT NULL,
    msg_id text NOT NULL,
    oldest_pending bigint,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


ALTER TABLE sealbus.beacons OWNER TO sealbus_owner;

--
-- Name: TABLE beacons; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.beacons IS 'What the broker held at a moment: for finding a stream that was rolled back.';


--
-- Name: checkpoints; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.checkpoints (
    log_id uuid NOT NULL,
    size bigint NOT NULL,
    note text NOT NULL,
    shown_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


ALTER TABLE sealbus.checkpoints OWNER TO sealbus_owner;

--
-- Name: TABLE checkpoints; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.checkpoints IS 'The newest anchored checkpoint, as it is shown: with the witnesses'' lines, and the newest time. Each signed note, as it was stored before it was anchored, stands in log_roots.';


--
-- Name: data_keys; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.data_keys (
    tenant text NOT NULL COLLATE pg_catalog."C",
    key_id uuid NOT NULL,
    subject text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    kek text NOT NULL COLLATE pg_catalog."C",
    wrapped bytea NOT NULL,
    closed boolean DEFAULT false NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT data_keys_epoch_check CHECK (((epoch >= 1) AND (epoch <= '4294967295'::bigint)))
)
WITH (fillfactor='80');


ALTER TABLE sealbus.data_keys OWNER TO sealbus_owner;

--
-- Name: TABLE data_keys; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.data_keys IS 'Wrapped data keys by data subject. Erasing deletes a subject''s rows; no event row changes.';


--
-- Name: deployment; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.deployment (
    generation bigint NOT NULL,
    origin text NOT NULL,
    log_id uuid NOT NULL,
    partitions integer NOT NULL,
    system_identifier text NOT NULL,
    timeline text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT deployment_partitions_check CHECK ((partitions = ANY (ARRAY[1, 2, 4, 8, 16, 32, 64])))
);


ALTER TABLE sealbus.deployment OWNER TO sealbus_owner;

--
-- Name: TABLE deployment; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.deployment IS 'What this ledger is: a row when it is created and one for each recover; the highest generation counts.';


--
-- Name: deployment_generation_seq; Type: SEQUENCE; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE sealbus.deployment ALTER COLUMN generation ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sealbus.deployment_generation_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: events; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.events (
    plan_no bigint NOT NULL,
    seq bigint NOT NULL,
    tenant text NOT NULL COLLATE pg_catalog."C",
    event_id uuid NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    data_version integer NOT NULL,
    occurred timestamp with time zone NOT NULL,
    recorded timestamp with time zone NOT NULL,
    source text NOT NULL,
    actor text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    payload_mode smallint NOT NULL,
    payload_size integer NOT NULL,
    payload_hash bytea NOT NULL,
    metadata_hash bytea NOT NULL,
    prev bytea NOT NULL,
    kid text NOT NULL COLLATE pg_catalog."C",
    event_hash bytea NOT NULL,
    mac bytea NOT NULL,
    sig bytea NOT NULL,
    request_mac bytea NOT NULL,
    payload json,
    metadata json NOT NULL,
    v1_payload_hash text,
    v1_prev_hash text,
    v1_signature text
);


ALTER TABLE sealbus.events OWNER TO sealbus_owner;

--
-- Name: TABLE events; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.events IS 'The chains. payload and metadata are json, not jsonb: the hash is of their text.';


--
-- Name: floors; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.floors (
    subscription_no bigint NOT NULL,
    partition integer NOT NULL,
    floor bigint NOT NULL
);


ALTER TABLE sealbus.floors OWNER TO sealbus_owner;

--
-- Name: TABLE floors; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.floors IS 'The log index below which a subscription owes nothing that is not in its positions.';


--
-- Name: leases; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.leases (
    kind text NOT NULL,
    key text NOT NULL,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL
);


ALTER TABLE sealbus.leases OWNER TO sealbus_owner;

--
-- Name: TABLE leases; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.leases IS 'Who does which share of the work, by the database''s clock. epoch rises whenever the holder changes.';


--
-- Name: log_leaves; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.log_leaves (
    log_id uuid NOT NULL,
    leaf_index bigint NOT NULL,
    plan_no bigint NOT NULL,
    seq bigint NOT NULL,
    partition integer NOT NULL,
    leaf_hash bytea NOT NULL,
    sealed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


ALTER TABLE sealbus.log_leaves OWNER TO sealbus_owner;

--
-- Name: TABLE log_leaves; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.log_leaves IS 'The order in which the sealer took the events: leaf_index is dense from 0.';


--
-- Name: log_roots; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.log_roots (
    log_id uuid NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    prev_size bigint,
    note text
);


ALTER TABLE sealbus.log_roots OWNER TO sealbus_owner;

--
-- Name: TABLE log_roots; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.log_roots IS 'Roots and checkpoints of the log; each compare-and-set names the size it follows.';


--
-- Name: outbox; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.outbox (
    id bigint NOT NULL,
    partition integer NOT NULL,
    plan_no bigint NOT NULL,
    seq bigint NOT NULL
);


ALTER TABLE sealbus.outbox OWNER TO sealbus_owner;

--
-- Name: TABLE outbox; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.outbox IS 'Events that the broker has not acknowledged yet.';


--
-- Name: outbox_id_seq; Type: SEQUENCE; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE sealbus.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sealbus.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: plans; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.plans (
    plan_no bigint NOT NULL,
    tenant text NOT NULL COLLATE pg_catalog."C",
    plan text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL
);


ALTER TABLE sealbus.plans OWNER TO sealbus_owner;

--
-- Name: TABLE plans; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.plans IS 'A narrow key for each (tenant, plan); written under the plan''s lock, in no message, file or API.';


--
-- Name: plans_plan_no_seq; Type: SEQUENCE; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE sealbus.plans ALTER COLUMN plan_no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sealbus.plans_plan_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: positions; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.positions (
    subscription_no bigint NOT NULL,
    plan_no bigint NOT NULL,
    next_seq bigint NOT NULL,
    last_hash bytea NOT NULL,
    seen_seq bigint DEFAULT 0 NOT NULL,
    state text DEFAULT 'live'::text NOT NULL,
    ask jsonb,
    attempts integer DEFAULT 0 NOT NULL,
    next_at timestamp with time zone,
    first_error text,
    last_error text,
    epoch bigint NOT NULL,
    moved_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT positions_state_check CHECK ((state = ANY (ARRAY['live'::text, 'behind'::text, 'parked'::text, 'dead'::text, 'fork'::text])))
);


ALTER TABLE sealbus.positions OWNER TO sealbus_owner;

--
-- Name: TABLE positions; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.positions IS 'Inbox, parked plan and dead letter in one: next_seq is the event to apply next, seen_seq the highest one acknowledged unapplied.';


--
-- Name: seal_queue; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.seal_queue (
    id bigint NOT NULL,
    plan_no bigint NOT NULL,
    seq bigint NOT NULL,
    event_hash bytea
);


ALTER TABLE sealbus.seal_queue OWNER TO sealbus_owner;

--
-- Name: TABLE seal_queue; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.seal_queue IS 'Events that have no leaf yet.';


--
-- Name: COLUMN seal_queue.event_hash; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON COLUMN sealbus.seal_queue.event_hash IS 'The hash of the event that was appended here.';


--
-- Name: seal_queue_id_seq; Type: SEQUENCE; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE sealbus.seal_queue ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sealbus.seal_queue_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: signing_keys; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.signing_keys (
    kid text NOT NULL COLLATE pg_catalog."C",
    standing text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT signing_keys_standing_check CHECK ((standing = ANY (ARRAY['signs'::text, 'retired'::text, 'revoked'::text])))
);


ALTER TABLE sealbus.signing_keys OWNER TO sealbus_owner;

--
-- Name: TABLE signing_keys; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.signing_keys IS 'The keys that plan _keys has added, and whether events may still be sealed by them.';


--
-- Name: subscriptions; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.subscriptions (
    subscription_no bigint NOT NULL,
    name text NOT NULL,
    start text NOT NULL,
    CONSTRAINT subscriptions_start_check CHECK ((start = ANY (ARRAY['beginning'::text, 'now'::text])))
);


ALTER TABLE sealbus.subscriptions OWNER TO sealbus_owner;

--
-- Name: subscriptions_subscription_no_seq; Type: SEQUENCE; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE sealbus.subscriptions ALTER COLUMN subscription_no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sealbus.subscriptions_subscription_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: tiles; Type: TABLE; Schema: sealbus; Owner: sealbus_owner
--

CREATE TABLE sealbus.tiles (
    log_id uuid NOT NULL,
    level smallint NOT NULL,
    index bigint NOT NULL,
    width smallint NOT NULL,
    hashes bytea NOT NULL,
    CONSTRAINT tiles_check CHECK ((length(hashes) = (32 * width))),
    CONSTRAINT tiles_width_check CHECK (((width >= 1) AND (width <= 256)))
);
ALTER TABLE ONLY sealbus.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;


ALTER TABLE sealbus.tiles OWNER TO sealbus_owner;

--
-- Name: TABLE tiles; Type: COMMENT; Schema: sealbus; Owner: sealbus_owner
--

COMMENT ON TABLE sealbus.tiles IS 'Hash tiles of the log, written in the transaction that adds the leaves.';


--
-- Data for Name: audit_log; Type: TABLE DATA; Schema: public; Owner: sealbus_writer
--

INSERT INTO public.audit_log OVERRIDING SYSTEM VALUE VALUES
	(1, 'dev', 'order-1', 1, '01a229f2-50b9-7248-983c-302ac1d60f11', 'payment.settled', 'dev', '2026-11-30 00:54:35.975329+00', '{"amount": "1.00"}', '{"sealbus": {"auth": "token"}}'),
	(2, 'dev', 'order-1', 2, '01a229f2-50dd-774b-ae81-101e478efff7', 'payment.settled', 'dev', '2026-11-30 00:54:36.002597+00', '{"amount": "2.00"}', '{"sealbus": {"auth": "token"}}'),
	(3, 'dev', 'order-1', 3, '01a229f2-50f7-715d-ae6a-093777a22cad', 'payment.settled', 'dev', '2026-11-30 00:54:36.039531+00', '{"amount": "3.00"}', '{"sealbus": {"auth": "token"}}'),
	(4, 'dev', 'order-1', 4, '01a229f2-511b-74e2-b976-649a38709ca5', 'payment.settled', 'dev', '2026-11-30 00:54:36.083078+00', '{"amount": "4.00"}', '{"sealbus": {"auth": "token"}}'),
	(5, 'dev', 'order-1', 5, '01a229f2-5148-76d5-bc93-02582f3104e0', 'payment.settled', 'dev', '2026-11-30 00:54:36.111325+00', '{"amount": "5.00"}', '{"sealbus": {"auth": "token"}}'),
	(6, 'other', 'order-2', 1, '01a229f2-5166-74be-a8c3-312403b55186', 'payment.settled', 'dev', '2026-11-30 00:54:36.145767+00', '{"amount": "1.00"}', '{"sealbus": {"auth": "token"}}'),
	(7, 'other', 'order-2', 2, '01a229f2-517f-75b0-b9af-a7fa81ee229f', 'payment.settled', 'dev', '2026-11-30 00:54:36.187355+00', '{"amount": "2.00"}', '{"sealbus": {"auth": "token"}}'),
	(8, 'dev', 'order-3', 1, '01a229f2-51a3-7061-821c-706c175067f3', 'payment.settled', 'dev', '2026-11-30 00:54:36.203476+00', '{"amount": "3.00"}', '{"sealbus": {"auth": "token"}}'),
	(9, 'dev', 'letters', 1, '01a229f2-51b8-72bf-baca-397c7d149a9e', 'private.note', 'dev', '2026-11-30 00:54:36.245586+00', '{"key": "c489c84d-47af-4d54-880f-befd6dc0a543", "nonce": "hvIjV0qPgaA+kDz9F8RafxdyOxmDEcby", "scheme": "sealbus/envelope/v2", "ciphertext": "m2U4tIkxWzEMktpcvROx/Ctpoxtm1F1y05rQwZJ3JUxiHoAnRaISGR35n3ko2Z6dESpTB/VcaRmwC+8Wnd6mtrBVhP094+4=", "commitment": "jT2CJZdopRAjoX7UpYpaBpU2kTbCqvWJu3n8aTAT7Jc="}', '{"sealbus": {"auth": "token"}}'),
	(10, 'dev', 'letters', 2, '01a229f2-51f7-75d0-97e9-8224cce35c64', 'private.note', 'dev', '2026-11-30 00:54:36.311805+00', '{"key": "6d553425-59cf-4143-b0a9-6b48c851f1e0", "nonce": "Dg0x5s9m8qmjfImkcgQW9Px9GwDcq4TL", "scheme": "sealbus/envelope/v2", "ciphertext": "K8xEUoPrx9TY83GpUJB3j/SILtjbcvHCIrdktwwYR3/vAY0naanHs2TcUZPSd3R6fixMeKxNNnHlUSb4yLiOfLt0Luo=", "commitment": "WeA+U583JFLs2ilNj0G8qrdrcqptmd7DItqvuXbEhfk="}', '{"sealbus": {"auth": "token"}}'),
	(11, 'dev', 'receipts', 1, '01a229f2-5226-7111-8b47-c53e984cbd8b', 'payment.settled', 'dev', '2026-11-30 00:54:36.341104+00', '{"amount": "10.00"}', '{"sealbus": {"auth": "token"}}'),
	(12, 'dev', '_erasures', 1, '01a229f2-5505-75b7-90f6-0e19af9f2699', 'subject.erased', 'officer', '2026-11-30 00:54:37.076584+00', '{"keys": ["c489c84d-47af-4d54-880f-befd6dc0a543"], "reason": "upgrade fixture"}', '{"sealbus": {"auth": "none"}}');


--
-- Data for Name: _sqlx_migrations; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus._sqlx_migrations VALUES
	(1, 'ledger', '2026-11-30 00:54:35.151484+00', true, '\xe095dd11620eed568b80043b82b0e2591af66c9ab897d98f009baff15ce3686fe4cecebda3b33d0b0cb538d7ead522c3', 67564164),
	(2, 'queues', '2026-11-30 00:54:35.21986+00', true, '\xd816d9aaf30ddb6f0224765008e4c9b874fe33120793c94d2d66feff0d6de7e571b7a4434a9e06898d026db64b1e2f1c', 23233469),
	(3, 'delivery', '2026-11-30 00:54:35.245861+00', true, '\xc034252b6c3c42cd3da90a5411341e13c2c4ca75fb5146fc3c77ef07d2f47f0c49328881050a0d9beb845c240ce20209', 57166210),
	(4, 'lock plans by index', '2026-11-30 00:54:35.305637+00', true, '\x1cd3b955212986afe874ffd443c81ce27659793d3fb2101ef6a33a408993afdf5fc0004afdd0837116f3c3622ed06172', 5310258),
	(5, 'log', '2026-11-30 00:54:35.311331+00', true, '\x92dce36328d021e9e7935b08df6630e0b566c5c4d9eb9a384597b0259b392afcb406ff462fdf7a0534a4c84a39316509', 19627720),
	(6, 'queued hash', '2026-11-30 00:54:35.334977+00', true, '\xc225028458e6fccb783c07c620fa0497f425ad8ece7bb9e666dac667af5478f6c80e76a7bcf223f386b506e5e3be1a70', 7575662),
	(7, 'data keys', '2026-11-30 00:54:35.34691+00', true, '\xc0fb6d73f2d5423331119aaf7d5bb3fac6f0ecfca87385d64bf75b360c62986b4017f23738066d927755ac7cd3612e85', 12077476),
	(8, 'keys', '2026-11-30 00:54:35.360482+00', true, '\xac191882122335f2d346146c1b795b1658a46aebc997c4b00edeb8fd8f296cafa139fd37d6a898938ceffd1f4727817c', 10533526);


--
-- Data for Name: attempts; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.attempts VALUES
	(2, 4, 1, 1, '2026-11-30 00:54:36.234404+00', 'flaky: attempt 1 for payments/dev/order-3/1 fails by rule');


--
-- Data for Name: beacons; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--



--
-- Data for Name: checkpoints; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.checkpoints VALUES
	('77720331-8177-498f-9f64-3c395523fb2f', 13, 'sealbus.dev/local
13
vKaOgidMjFY1ag1iVIQXz42fFhZrCtDTwHgD59qJIA8=

— sealbus.dev/local 9+ePKdeVmSM2m49nTk1kAqJu0sBlUasQiGhNKqusRYIFgc20G0x4rqOcvgq3F+5Bn0tsOoLi0Zh2VTS4mYSKubVMcgs=
— sealbus.dev/local AG6/5QAAAABrDMlNAiro/s03WMvepcyfUpSVvOSfgiylfekTlcgQCLhzu08mi0mEfwu8MNGIG9+znQDu1YOdOSk2HxOtRc4CfvIxCQ==
', '2026-11-30 00:54:37.928847+00');


--
-- Data for Name: data_keys; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.data_keys VALUES
	('dev', '6d553425-59cf-4143-b0a9-6b48c851f1e0', 'Grace', 1, 'kek-accec5b19a57014d', '\x5bcada8b0e72bc4a1a733f6b91376748f180000a0e7d74116c8223c3e3d9f2cc2f91acc3ca6f19802966de5fe2861c54da15b1a0215aadba1d77bd10c51d6f87f65f8176633ae462', false, '2026-11-30 00:54:36.307957+00');


--
-- Data for Name: deployment; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.deployment OVERRIDING SYSTEM VALUE VALUES
	(1, 'sealbus.dev/local', '77720331-8177-498f-9f64-3c395523fb2f', 8, '7713761582692960824', '00000001', '2026-11-30 00:54:35.391104+00');


--
-- Data for Name: events; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.events VALUES
	(1, 1, '_system', '01a229f2-4e6f-76cf-b73b-bb99e3a9e3d0', 'key.added', 1, '2026-11-30 00:54:35.391326+00', '2026-11-30 00:54:35.391326+00', 'sealbus.dev/local', 'sealbus', '', '', 1, 189, '\x1dc980f58f9753410089e2e92b3f54f2cb27a84ef7e4997b54f97f414ae8810a', '\xc3ef0dc09cb7ddc5171d7a4fefb404eab88082fe16b729790d0ccec4f31b64b5', '\xc346a50aecac23cb76ead93ef32659aa259a3dc1d7a0d34317f767a360ccda40', 'ed25519-ed44086d173430eb', '\x2955062f4bb2b77cc6952ef19fddcccb1b5c59c6d15b65c962ea42bd4d880287', '\x', '\x4ab76ff1b1edba5f91085570868e0e96852330cf414b286ebedff6e2748ec763ea071d8f5b23bd87541eafd544fadab7ffbebf9cd63f9e58ae4c11dd62eb6a0a', '\x9491c978928dfd44103d11851340b5b8bfa57828267ea502300fd65e0f5c1fec', '{"kid":"ed25519-ed44086d173430eb","proof":"WLYOrZRpkjfgAIy7UTzaj823S7Tl5w35+Vu7Po+0DzScmBqa5ZTwWUQQo+vXz2ViRagttLjZ4PCtNAAWUGUxBQ==","public":"mG1zPWOXGlheEmAoa1pw96jA79PE7kWpF8LwrVfRfJc="}', '{"sealbus":{"auth":"none"}}', NULL, NULL, NULL),
	(2, 1, 'dev', '01a229f2-50b9-7248-983c-302ac1d60f11', 'payment.settled', 1, '2026-11-30 00:54:35.975329+00', '2026-11-30 00:54:35.975329+00', '', 'dev', '', '', 1, 17, '\xecd4beb07d489cdc999ba7c40e5d86d2e433e3c5248ab08cf368a85c93fb8040', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\x246bbf85db510f710d511f8925f0b757770d37f78a5c1945b7ff9bbb6d3adac8', 'ed25519-ed44086d173430eb', '\x9c21b8f4e4e44010574baa0c1eba3095f8ee4258d8d233f0c4844d08fd5cd64c', '\x', '\x49a9879919c5bebc24845abaad6eb29d3d08226d45f21cad39526940436c91ecb1abaf754ea97f1ede21ca8cde5e775131cf3d9f53b12e09e9ba8d206c18e306', '\xa3733c1a4cdeb8a9cee70d401831c198a820ab5735840521470207906db74a99', '{"amount":"1.00"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(2, 2, 'dev', '01a229f2-50dd-774b-ae81-101e478efff7', 'payment.settled', 1, '2026-11-30 00:54:36.002597+00', '2026-11-30 00:54:36.002597+00', '', 'dev', '', '', 1, 17, '\xd8263d9c8977d06db6b7e4fe514c8339b739ea7c2d310a6bf96f639c661c8fe4', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\x9c21b8f4e4e44010574baa0c1eba3095f8ee4258d8d233f0c4844d08fd5cd64c', 'ed25519-ed44086d173430eb', '\xfb824aceda1dc5e231b4c745b2a5a806cf456028a17dc0f3400af4cece44043e', '\x', '\x5dbe4b047cb436c776391aa29a3d000c64d22e7085f0042733a515b2711731384314b7e30963fe9f783788f658383dd8630253ffd809789c193d6a26be9cbc0e', '\x454bfb5bd250e2120155d25dbce49350802dbf0fae0690d758594a8498429b08', '{"amount":"2.00"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(2, 3, 'dev', '01a229f2-50f7-715d-ae6a-093777a22cad', 'payment.settled', 1, '2026-11-30 00:54:36.039531+00', '2026-11-30 00:54:36.039531+00', '', 'dev', '', '', 1, 17, '\x87bb0ce5947e9685f88288a505b0cdcd1cf518aee785be00384619b283c74d0a', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\xfb824aceda1dc5e231b4c745b2a5a806cf456028a17dc0f3400af4cece44043e', 'ed25519-ed44086d173430eb', '\x9bc02f637d71ce6d0b59368e373ca3bf7005da3da40025590fcf52b9a872d59b', '\x', '\x13038d4a4a752e217bbd0ec628a661f4882cff4f6533b776d92dd203e94f403c3d42bee4090af4626b409007d808617900ac876c6da95322aea9a6b9c072f905', '\x9962a79317e2a52834f84602c473ee4f1df2a71ff3de7ed8afb1a5ccc617e014', '{"amount":"3.00"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(2, 4, 'dev', '01a229f2-511b-74e2-b976-649a38709ca5', 'payment.settled', 1, '2026-11-30 00:54:36.083078+00', '2026-11-30 00:54:36.083078+00', '', 'dev', '', '', 1, 17, '\x853479966cd2257aa1cf3e5156b4c0ea63fec5125a7e99d77b92242cdc274767', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\x9bc02f637d71ce6d0b59368e373ca3bf7005da3da40025590fcf52b9a872d59b', 'ed25519-ed44086d173430eb', '\x5dc7cd01d4a1ffdd318b55f2f2229c269eb821f1564a5234ce37b63437522f97', '\x', '\x10a8c31851e9b5dd1cb7b6489c7520e844e902183f9a26ce179bf6b40f44f85919daf2d0afd8e423f98ac1fba92aa57847ff408ea883201d80e9be916c6b0904', '\xdeb4021e2a34c2d47c74c902f68feebbb369d4489539ee43ae9db543a540015d', '{"amount":"4.00"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(2, 5, 'dev', '01a229f2-5148-76d5-bc93-02582f3104e0', 'payment.settled', 1, '2026-11-30 00:54:36.111325+00', '2026-11-30 00:54:36.111325+00', '', 'dev', '', '', 1, 17, '\xf044b9419a8be1346e67df86efcfd5ff8f177a0c67565aef37c550a435357bf2', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\x5dc7cd01d4a1ffdd318b55f2f2229c269eb821f1564a5234ce37b63437522f97', 'ed25519-ed44086d173430eb', '\x4e138d5d7510756dab5fa4e409e467ece0a4514f0690715708455aa9827e9bde', '\x', '\xf1149e852ed82897445c44fe4ac8623e3c7183ef01f26718131caafbf62b9cbde607f0a83fe299bb86cd6abf7ec3f1817b692c26ec6cc48b67723b306482470a', '\x3603c7fc030748281537535ac956cfec54ab52d79294e3e27c41bd49db4383d6', '{"amount":"5.00"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(3, 1, 'other', '01a229f2-5166-74be-a8c3-312403b55186', 'payment.settled', 1, '2026-11-30 00:54:36.145767+00', '2026-11-30 00:54:36.145767+00', '', 'dev', '', '', 1, 17, '\xecd4beb07d489cdc999ba7c40e5d86d2e433e3c5248ab08cf368a85c93fb8040', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\xc0dc057186430907a8fb0d9d35ef7d2f8b5e9ef9e1fb0c0123b50dab8ee80ace', 'ed25519-ed44086d173430eb', '\x27beec746c5635fd44510b6fc1c65253c9419e476aac8c6aeff92cd24167d682', '\x', '\x38faf4843d253a0f4c0efb34f56a5fe5b19cb893f945940cc6f12fae91be68fc22fde720b45b1b2c227f325d1525f297853e30b68f2229d2943bae9267218b06', '\x98612d68118079fa5786e6e7b0bffeb8889e3360eefccb9ee3c0e6a2b751285c', '{"amount":"1.00"}', '{"sealbus":{"auth":"token"}}', 'ecd4beb07d489cdc999ba7c40e5d86d2e433e3c5248ab08cf368a85c93fb8040', NULL, '6763f6ce90f9a62de447eaf18fba0ac47ed446d8487a67339bc90963eea65fd1'),
	(3, 2, 'other', '01a229f2-517f-75b0-b9af-a7fa81ee229f', 'payment.settled', 1, '2026-11-30 00:54:36.187355+00', '2026-11-30 00:54:36.187355+00', '', 'dev', '', '', 1, 17, '\xd8263d9c8977d06db6b7e4fe514c8339b739ea7c2d310a6bf96f639c661c8fe4', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\x27beec746c5635fd44510b6fc1c65253c9419e476aac8c6aeff92cd24167d682', 'ed25519-ed44086d173430eb', '\x2abd94b1dff181939791eea5dc0f38f4e2d1fa9f9324529721ba04030e1026d1', '\x', '\x4cc8157ec2440bb9d903c9a4f503cb2ab2165f4f172ebc0be0816c9ec6c6a254a11b158442010c6b458e3b935c52f0d71db487892f0bd0d20a2b97a7dbba3a0d', '\xdc5c3a811401853c5b8bff6c6dba5b2493ea311962c5a3983e9df206d68f422f', '{"amount":"2.00"}', '{"sealbus":{"auth":"token"}}', 'd8263d9c8977d06db6b7e4fe514c8339b739ea7c2d310a6bf96f639c661c8fe4', '6763f6ce90f9a62de447eaf18fba0ac47ed446d8487a67339bc90963eea65fd1', '7ecde5530e7246c804540b52ad9addf05a27cb8ab2b7fbf06966861006a2afed'),
	(4, 1, 'dev', '01a229f2-51a3-7061-821c-706c175067f3', 'payment.settled', 1, '2026-11-30 00:54:36.203476+00', '2026-11-30 00:54:36.203476+00', '', 'dev', '', '', 1, 17, '\x87bb0ce5947e9685f88288a505b0cdcd1cf518aee785be00384619b283c74d0a', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\xe31573c48df5802d84a52d41cc44d018338acad8682d8063435e4470d21ed7a7', 'ed25519-ed44086d173430eb', '\xcedc876f3a5096e3b5cbc66a9bed0afc7db9bf7734dd90015c7bd480e2af7fec', '\x', '\x9f60217c512286c1f84e94f66d0b9a9d669d186d8683525ad44836aef82c4df4c29a12e21bb905da600aa3568307cd13797c684e67f6f2d297f926d3bdbd0109', '\x6ecbcf2e04f04de4eca04216ac840eb6195a9763eb48ad511bfc7ed841105e10', '{"amount":"3.00"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(5, 1, 'dev', '01a229f2-51b8-72bf-baca-397c7d149a9e', 'private.note', 1, '2026-11-30 00:54:36.245586+00', '2026-11-30 00:54:36.245586+00', '', 'dev', '', '', 2, 292, '\xfe102d598d338150528af2c224b552b042e98d965977f3c4976511eb482cf68c', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\xfc3251c1abca3904fd931f3a55cddb65f3952a3aae0d40cf4698f138cefea562', 'ed25519-ed44086d173430eb', '\x1f07edb0304f6251365a1af40cefa0ba2123b586a8b6db483f6446110dde257b', '\x', '\x4f7c59b0b080b29b8a4956c841d0fe154b6ce3b5bc3d8cd4ac1e6fbf226a2533b46ff0046386aa549d56fe4b8469066ff318fc818243dab71af5108a3479760b', '\xd271aca650b600681ed276812b275a9c9b6fed24ab0199e2c94e6a12740b6baa', '{"ciphertext":"m2U4tIkxWzEMktpcvROx/Ctpoxtm1F1y05rQwZJ3JUxiHoAnRaISGR35n3ko2Z6dESpTB/VcaRmwC+8Wnd6mtrBVhP094+4=","commitment":"jT2CJZdopRAjoX7UpYpaBpU2kTbCqvWJu3n8aTAT7Jc=","key":"c489c84d-47af-4d54-880f-befd6dc0a543","nonce":"hvIjV0qPgaA+kDz9F8RafxdyOxmDEcby","scheme":"sealbus/envelope/v2"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(5, 2, 'dev', '01a229f2-51f7-75d0-97e9-8224cce35c64', 'private.note', 1, '2026-11-30 00:54:36.311805+00', '2026-11-30 00:54:36.311805+00', '', 'dev', '', '', 2, 288, '\x5c4d737e51acf5f2934614c9ec1fa65a6533f32b773063dc2c5fb0dbb2c92e88', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\x1f07edb0304f6251365a1af40cefa0ba2123b586a8b6db483f6446110dde257b', 'ed25519-ed44086d173430eb', '\x40b3cde9ca599ade70f0cc16a3637135542db8bcf41478cd70979cf700775fd0', '\x', '\x5df32b47e14bfcad5586b5fa7cab4283792f436b408900fff966f1d0a9203d9344b1ebaa03b47800b2686fc4b5d30e58b0f29d5d9690723bf34f9215359efb0c', '\x20ecf560a400fba97ccf9d1e3f33305ca32f3af6a305c64b78c2df9357c473fb', '{"ciphertext":"K8xEUoPrx9TY83GpUJB3j/SILtjbcvHCIrdktwwYR3/vAY0naanHs2TcUZPSd3R6fixMeKxNNnHlUSb4yLiOfLt0Luo=","commitment":"WeA+U583JFLs2ilNj0G8qrdrcqptmd7DItqvuXbEhfk=","key":"6d553425-59cf-4143-b0a9-6b48c851f1e0","nonce":"Dg0x5s9m8qmjfImkcgQW9Px9GwDcq4TL","scheme":"sealbus/envelope/v2"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(6, 1, 'dev', '01a229f2-5226-7111-8b47-c53e984cbd8b', 'payment.settled', 1, '2026-11-30 00:54:36.341104+00', '2026-11-30 00:54:36.341104+00', '', 'dev', '', '', 1, 18, '\xe9eb495accbce2a0e95bbe079b9f9e42ccae20371c1516e3ed3036d2a787cf53', '\x6563a2b6c6a937f0dcfd74a48e549c994815322146a13d027ab2eba4a7d7c149', '\xbe2b60950852728090520ed00e2625b24deb875fda01cf4c75fc672a5cb37145', 'ed25519-ed44086d173430eb', '\x03fd6db7106810d4505c8aee88a35106dddb6cc71510086cb60fbf2b8583eda1', '\x', '\x71641349ac62b23f3559164452159be35b76c7662849d295c03ef90dd728ba69c52c6bc7974a2f3a7aa56572474d1d5fbfa5f8b2029fbb49a1d3c1ed97be320e', '\x134d91002361ef414063b7841a544bf1bbf19a35485cde9d272b80d30700658a', '{"amount":"10.00"}', '{"sealbus":{"auth":"token"}}', NULL, NULL, NULL),
	(7, 1, 'dev', '01a229f2-5505-75b7-90f6-0e19af9f2699', 'subject.erased', 1, '2026-11-30 00:54:37.076584+00', '2026-11-30 00:54:37.076584+00', 'sealbus.dev/local', 'officer', '', '', 1, 76, '\x2480887b7f37b7feeead5ce9993b3f465894404b14117ae3c69c024773d05476', '\xc3ef0dc09cb7ddc5171d7a4fefb404eab88082fe16b729790d0ccec4f31b64b5', '\x777d267f5a4506a23fdb1ec5db8a415b429e29941e37a5bad74aa2181c075e3d', 'ed25519-ed44086d173430eb', '\x9068f36d0fef826806d0b50ae3f4587f6535d4e357774734e7dfe189549d7a5f', '\x', '\x9064c4d613f7330bd10eb5206313854d307ecac1b40e980ed844925aa7160662d40e0f0eb9efeb16a36f40d05ac0ca5693ca3c5e4cde1c544ca0178f11ddfc0a', '\x8bd4ed9024cfbc30680a9788ab38939eb2073d163ffdeeb140efdc2750c405f8', '{"keys":["c489c84d-47af-4d54-880f-befd6dc0a543"],"reason":"upgrade fixture"}', '{"sealbus":{"auth":"none"}}', NULL, NULL, NULL);


--
-- Data for Name: floors; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.floors VALUES
	(1, 0, 0),
	(1, 1, 0),
	(1, 2, 0),
	(1, 3, 0),
	(1, 4, 0),
	(1, 5, 0),
	(1, 6, 0),
	(1, 7, 0),
	(2, 0, 0),
	(2, 1, 0),
	(2, 2, 0),
	(2, 3, 0),
	(2, 4, 0),
	(2, 5, 0),
	(2, 6, 0),
	(2, 7, 0);


--
-- Data for Name: leases; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.leases VALUES
	('deliver/audit-storage', '0', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('signing/ed25519-ed44086d173430eb/members', 'appender-6fb708d6cdb44a7e829a91740f31f357', 'appender-6fb708d6cdb44a7e829a91740f31f357', 1, '2026-11-30 00:54:47.143057+00'),
	('deliver/audit-storage', '1', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/audit-storage', '2', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/audit-storage', '3', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/audit-storage', '4', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/audit-storage', '5', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/audit-storage', '6', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/audit-storage', '7', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('relay', '0', 'relay-17862a0e10b242548ae5ea13af465165', 1, '-infinity'),
	('relay', '1', 'relay-17862a0e10b242548ae5ea13af465165', 1, '-infinity'),
	('relay', '2', 'relay-17862a0e10b242548ae5ea13af465165', 1, '-infinity'),
	('relay', '4', 'relay-c187e2892fdd4ef28bc48d0bfcec30be', 2, '-infinity'),
	('relay', '5', 'relay-c187e2892fdd4ef28bc48d0bfcec30be', 2, '-infinity'),
	('relay', '6', 'relay-c187e2892fdd4ef28bc48d0bfcec30be', 2, '-infinity'),
	('relay', '7', 'relay-c187e2892fdd4ef28bc48d0bfcec30be', 2, '-infinity'),
	('deliver/payments', '0', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/payments', '1', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/payments', '2', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/payments', '3', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/payments', '4', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/payments', '5', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/payments', '6', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('deliver/payments', '7', 'd7a9e05f-491f-49fd-828a-4c79fee66246', 1, '-infinity'),
	('relay', '3', 'relay-17862a0e10b242548ae5ea13af465165', 1, '-infinity');


--
-- Data for Name: log_leaves; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.log_leaves VALUES
	('77720331-8177-498f-9f64-3c395523fb2f', 0, 1, 1, 4, '\x74d7c31dec978e20ff356da6c33baaa88ddf2d5c52dcdc36aad966b6f83187f1', '2026-11-30 00:54:35.89018+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 1, 2, 1, 6, '\xf38a5c574dc74b9b21bcac8a5c7729b419f6406e4acac5e1a5031f70090f773d', '2026-11-30 00:54:36.001402+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 2, 2, 2, 6, '\x0f67fcca493a9305e3f3c78decc2f1a30bbc5c26cdd62ca8fa9e373b4ac69685', '2026-11-30 00:54:36.041351+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 3, 2, 3, 6, '\x84eb5ad4c5621e4aded2f00dd43a4cc2581767bb6374cc7e3ddb827004e4ceff', '2026-11-30 00:54:36.05621+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 4, 2, 4, 6, '\x0aecbdf3ee57d0e839cd0bd84f567c5d8ee4c67429b1b5028c447e714fa8faa3', '2026-11-30 00:54:36.130473+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 5, 2, 5, 6, '\x76457ef075699e38259a4d0126bc2d277dcb1e73401d1c3f7138666427f0fbd3', '2026-11-30 00:54:36.13049+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 6, 3, 1, 6, '\x0b0b049504f1b1fee58ac64733c0b9bba4695400cef190c470d7eeddd8a1b65c', '2026-11-30 00:54:36.205967+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 7, 3, 2, 6, '\x1dc20ef2143cd6a2284c665761c4615352faadcf9b0dd4ae20dc18495905468b', '2026-11-30 00:54:36.205982+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 8, 4, 1, 3, '\x256491d24a0a0ca711bcc338e1d4f676a43dfb9da4ae81e702ee603df07064e2', '2026-11-30 00:54:36.23098+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 9, 5, 1, 7, '\x0009e0764a1c46e4f96d85535d12a283235e40d66152debb8b516cc43a234fc7', '2026-11-30 00:54:36.296291+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 10, 5, 2, 7, '\xf430c32c66c48426fd84268b2c583af129651c95aa98006db46571744ad76a38', '2026-11-30 00:54:36.350724+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 11, 6, 1, 5, '\x4743a5977319919f4346000c65d445b8b6cf5b11ac48a9a57890794cca03039a', '2026-11-30 00:54:36.408631+00'),
	('77720331-8177-498f-9f64-3c395523fb2f', 12, 7, 1, 7, '\x3cd1267b4319f6666ad4bf051f1bee589f48bc6760f05a178f39dc47a65da598', '2026-11-30 00:54:37.126346+00');


--
-- Data for Name: log_roots; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.log_roots VALUES
	('77720331-8177-498f-9f64-3c395523fb2f', 0, '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', NULL, 'sealbus.dev/local
0
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=

— sealbus.dev/local 9+ePKRCWqCHh3LwQxY3pFVfRAGy+3fa1j6UrVKIQq8jYi9Oe98A9ybzw/UMUA/go641L1WDuTVOgMw618/dFYTmMIgI=
— sealbus.dev/local AG6/5QAAAABrDMlLg9IW9ff+50DeeovrQElyUcha581SCG9oB80SBZUjQ0NS8n7ocEd1BWu2ANi3SJEx2k0whyJnqDlIEhFVZUj3Dg==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 1, '\x74d7c31dec978e20ff356da6c33baaa88ddf2d5c52dcdc36aad966b6f83187f1', 0, 'sealbus.dev/local
1
dNfDHeyXjiD/NW2mwzuqqI3fLVxS3Nw2qtlmtvgxh/E=

— sealbus.dev/local 9+ePKTqKjnNfyfvUMKIGELzcCKWiqvYs20dQxsAf703j3NT/uPRkT/1DaMUwTxOMc/RfyKD4nPx90xAsI6X3WjE3Ew0=
— sealbus.dev/local AG6/5QAAAABrDMlLns7WA9fbXjiehDMKDOczr1wJvZgxB+WG9syX5fo/lITuOS9bt18dsiWsFTnRSlF4V/Zx/UhOwr/FAnQU/oKnCA==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 2, '\x6c5e3972a9684ab0de7e730d44336d7fd8db66fcdc0e22cba4e7dc13d0a1b73e', 1, 'sealbus.dev/local
2
bF45cqloSrDefnMNRDNtf9jbZvzcDiLLpOfcE9Chtz4=

— sealbus.dev/local 9+ePKRLXIW+HQsC5Ox+Kg889vsHMlFXx7GFSZpVWxrbJr4ra3nwXTh0DpkmjM75i4snSdJIioICCOH/mHgGSJ53GBwY=
— sealbus.dev/local AG6/5QAAAABrDMlLzi7w4krX48HvRqxReJn0HOZvUDIGoBlhzgOxDqgPQ3/sew2OPmrLcRt0jYb0zTamUMqszXp1dlkZagb945pPDw==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 3, '\x14f6f4992af52ba265c506dbb53c93c694ecad50df71ba71e51f8552edaf7e98', 2, 'sealbus.dev/local
3
FPb0mSr1K6JlxQbbtTyTxpTsrVDfcbpx5R+FUu2vfpg=

— sealbus.dev/local 9+ePKRUsgTChfs1Ss9jnVp1+JBP6ai/gAsl593ulvdJW6vCtsNe3bDB2qFJdsMM2CwvIXD2N3Uj24wGC2zScMIWkGwc=
— sealbus.dev/local AG6/5QAAAABrDMlM7lSVlUlnSb3QqsxW72qe0R9foVFYbMLI0WaGeDPPCysdYBVVVCsb3SyqW9a9K4DNAiVyUUrJ6o5fLLa0k28cBw==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 4, '\x96edbc57e7d38c693a75cf78edeee95e94a87b9ef0a7267ecff4108a60709079', 3, 'sealbus.dev/local
4
lu28V+fTjGk6dc947e7pXpSoe57wpyZ+z/QQimBwkHk=

— sealbus.dev/local 9+ePKVwPv+lf2OU9A3bTZ6BNT4CmgxM5QZQryVqk9ORqV+iT7iYSzMzE1yiKoKYNXpTUd8WZSczIAdwdKRlPAGtbMwI=
— sealbus.dev/local AG6/5QAAAABrDMlMMcdIjGXlQB6ZPNl1NlvS2SOmlHgOeykHf+g3+W0ECgflP2b0LyuKhmWIxfseBw8jZ+y4k7xq8ePERwdPFbyQAQ==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 6, '\xb5256205c0b7a18f8ebd0a76317ebd75bf21cd6eafd678e17f116b190d5c451c', 4, 'sealbus.dev/local
6
tSViBcC3oY+OvQp2MX69db8hzW6v1njhfxFrGQ1cRRw=

— sealbus.dev/local 9+ePKdO8CkrvQUemzBvi49CEY6tfXxyQU+wHeYeXcCaK1IpXmcfgv//RWyucjjNwBK9y47lkYMV+E2eXacUP06C3lQs=
— sealbus.dev/local AG6/5QAAAABrDMlM57v5XwQsv2ujXssXtW+4RPyMSEdXZQPPYV4SwMLHLN5zLj/thB7TIH0GhLCfcjzHFDdTitIqE0SXzz7iar4FCw==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 8, '\x714903c7585d355139769a1b5d82d7cd343c5614f22e4ae7bbdc08441dcd8a3d', 6, 'sealbus.dev/local
8
cUkDx1hdNVE5dpobXYLXzTQ8VhTyLkrnu9wIRB3Nij0=

— sealbus.dev/local 9+ePKasC65cyu1SKt34x5/yboeBiI71MChJ4WeQOBvz1hDoLohoRQiCNYx8/cTE5U10nX94/vQyCTpQ5KqLruuROEgQ=
— sealbus.dev/local AG6/5QAAAABrDMlM84SOTQ5EXALZXS0PTu5VEQcs6Aq48gltES3sa4usybTwwPdQV8Bvv+1d4efN19PnClBIWdD+rSwRI4u+EdTLBQ==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 9, '\xf9ace4cf8d4f5389882e390114458851477d1b03a404f114304a8c890dfaa6b9', 8, 'sealbus.dev/local
9
+azkz41PU4mILjkBFEWIUUd9GwOkBPEUMEqMiQ36prk=

— sealbus.dev/local 9+ePKWi5yVOy40Ia4LQqv1j/N6CQ6m4C+uaBj3y3s59LtLt9pRM9vYA9jcwdeV7Bc93EChrEPSq2J8UEG/CbBCyrHwE=
— sealbus.dev/local AG6/5QAAAABrDMlMit5kv3rU5vSHCNTDvLXkwLmmduLVILVlukCXuEVZfM+xbrO9X4bxI7Km/x4WtbK1f7Sx3HdzMJj+gJKQprg/AA==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 10, '\x46b9d55a6acd0cf58526892dcf66cc774ba62438cdbf2035286a7f245b68f436', 9, 'sealbus.dev/local
10
RrnVWmrNDPWFJoktz2bMd0umJDjNvyA1KGp/JFto9DY=

— sealbus.dev/local 9+ePKdQK6m64DZrukGMxiva6b0PUyKiaw6sKfWx68V45DBTpa+0h5ph/JJvEh009qCq+FV9GPD8sA8A+AW9WiSplfQI=
— sealbus.dev/local AG6/5QAAAABrDMlMt5VJmShMZXrIMsE0GBT3GeTmkqzAMd51Hj5rGHIkyFg9Ll0VD2fP3XvbkUSdT2GtSzcBfHWsY9/zqTRnxkokBQ==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 11, '\x01e4bc28ce4fe669ce728a91ebca11a2c09d7df32a908679834e0149d81b171f', 10, 'sealbus.dev/local
11
AeS8KM5P5mnOcoqR68oRosCdffMqkIZ5g04BSdgbFx8=

— sealbus.dev/local 9+ePKbGG+GDOOBWgtT5uRhgeiI90OlmYqhLK88ae/Gt6dV6jkKRFxKk6Kk5DTA3m7rI5Z/3zONzTyYpbmNEWDAMHEAI=
— sealbus.dev/local AG6/5QAAAABrDMlMc2BA97XxIApIUQLthYMpF6XVTFPTIHtTBF6JlYrMTQvWfpkNZcoWf+axTfrH2IeX53KERBbz6cZITkidEINvBw==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 12, '\xc52501072940ddd468a2462f51ac019abe45ee7fe7d72fce2d1bfe3beae3bd48', 11, 'sealbus.dev/local
12
xSUBBylA3dRookYvUawBmr5F7n/n1y/OLRv+O+rjvUg=

— sealbus.dev/local 9+ePKYF/ewnrdo6XsKFArZWqE+1rNIQLz73SDUC4zng0wQ18iS/IxMm8cUZloWp1T6BFJCQ+KJy3dkr5uoUUNx9YWAs=
— sealbus.dev/local AG6/5QAAAABrDMlMA0SZBHXAFcz0t8vHDb2+gOgJmXS8pGv96eD1YOq0jcGTJ7CLKVuD6NlzK4KLRZvFDKEiaX3eM0tm3qkZygEmAg==
'),
	('77720331-8177-498f-9f64-3c395523fb2f', 13, '\xbca68e82274c8c56356a0d62548417cf8d9f16166b0ad0d3c07803e7da89200f', 12, 'sealbus.dev/local
13
vKaOgidMjFY1ag1iVIQXz42fFhZrCtDTwHgD59qJIA8=

— sealbus.dev/local 9+ePKdeVmSM2m49nTk1kAqJu0sBlUasQiGhNKqusRYIFgc20G0x4rqOcvgq3F+5Bn0tsOoLi0Zh2VTS4mYSKubVMcgs=
— sealbus.dev/local AG6/5QAAAABrDMlNAiro/s03WMvepcyfUpSVvOSfgiylfekTlcgQCLhzu08mi0mEfwu8MNGIG9+znQDu1YOdOSk2HxOtRc4CfvIxCQ==
');


--
-- Data for Name: outbox; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--



--
-- Data for Name: plans; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.plans OVERRIDING SYSTEM VALUE VALUES
	(1, '_system', '_keys', 4),
	(2, 'dev', 'order-1', 6),
	(3, 'other', 'order-2', 6),
	(4, 'dev', 'order-3', 3),
	(5, 'dev', 'letters', 7),
	(6, 'dev', 'receipts', 5),
	(7, 'dev', '_erasures', 7);


--
-- Data for Name: positions; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.positions VALUES
	(2, 2, 6, '\x4e138d5d7510756dab5fa4e409e467ece0a4514f0690715708455aa9827e9bde', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.124475+00'),
	(1, 2, 6, '\x4e138d5d7510756dab5fa4e409e467ece0a4514f0690715708455aa9827e9bde', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.129328+00'),
	(2, 3, 3, '\x2abd94b1dff181939791eea5dc0f38f4e2d1fa9f9324529721ba04030e1026d1', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.204259+00'),
	(1, 3, 3, '\x2abd94b1dff181939791eea5dc0f38f4e2d1fa9f9324529721ba04030e1026d1', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.205471+00'),
	(1, 4, 2, '\xcedc876f3a5096e3b5cbc66a9bed0afc7db9bf7734dd90015c7bd480e2af7fec', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.226664+00'),
	(2, 4, 1, '\xe31573c48df5802d84a52d41cc44d018338acad8682d8063435e4470d21ed7a7', 1, 'dead', NULL, 1, NULL, 'flaky: attempt 1 for payments/dev/order-3/1 fails by rule', 'flaky: attempt 1 for payments/dev/order-3/1 fails by rule', 1, '2026-11-30 00:54:36.233652+00'),
	(1, 5, 3, '\x40b3cde9ca599ade70f0cc16a3637135542db8bcf41478cd70979cf700775fd0', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.316679+00'),
	(2, 5, 3, '\x40b3cde9ca599ade70f0cc16a3637135542db8bcf41478cd70979cf700775fd0', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.316726+00'),
	(2, 6, 2, '\x03fd6db7106810d4505c8aee88a35106dddb6cc71510086cb60fbf2b8583eda1', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.395373+00'),
	(1, 6, 2, '\x03fd6db7106810d4505c8aee88a35106dddb6cc71510086cb60fbf2b8583eda1', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:36.39888+00'),
	(2, 7, 2, '\x9068f36d0fef826806d0b50ae3f4587f6535d4e357774734e7dfe189549d7a5f', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:37.363652+00'),
	(1, 7, 2, '\x9068f36d0fef826806d0b50ae3f4587f6535d4e357774734e7dfe189549d7a5f', 0, 'live', NULL, 0, NULL, NULL, NULL, 1, '2026-11-30 00:54:37.363671+00');


--
-- Data for Name: seal_queue; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--



--
-- Data for Name: signing_keys; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.signing_keys VALUES
	('ed25519-ed44086d173430eb', 'signs', '2026-11-30 00:54:35.39449+00');


--
-- Data for Name: subscriptions; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.subscriptions OVERRIDING SYSTEM VALUE VALUES
	(1, 'audit-storage', 'beginning'),
	(2, 'payments', 'beginning');


--
-- Data for Name: tiles; Type: TABLE DATA; Schema: sealbus; Owner: sealbus_owner
--

INSERT INTO sealbus.tiles VALUES
	('77720331-8177-498f-9f64-3c395523fb2f', 0, 0, 13, '\x74d7c31dec978e20ff356da6c33baaa88ddf2d5c52dcdc36aad966b6f83187f1f38a5c574dc74b9b21bcac8a5c7729b419f6406e4acac5e1a5031f70090f773d0f67fcca493a9305e3f3c78decc2f1a30bbc5c26cdd62ca8fa9e373b4ac6968584eb5ad4c5621e4aded2f00dd43a4cc2581767bb6374cc7e3ddb827004e4ceff0aecbdf3ee57d0e839cd0bd84f567c5d8ee4c67429b1b5028c447e714fa8faa376457ef075699e38259a4d0126bc2d277dcb1e73401d1c3f7138666427f0fbd30b0b049504f1b1fee58ac64733c0b9bba4695400cef190c470d7eeddd8a1b65c1dc20ef2143cd6a2284c665761c4615352faadcf9b0dd4ae20dc18495905468b256491d24a0a0ca711bcc338e1d4f676a43dfb9da4ae81e702ee603df07064e20009e0764a1c46e4f96d85535d12a283235e40d66152debb8b516cc43a234fc7f430c32c66c48426fd84268b2c583af129651c95aa98006db46571744ad76a384743a5977319919f4346000c65d445b8b6cf5b11ac48a9a57890794cca03039a3cd1267b4319f6666ad4bf051f1bee589f48bc6760f05a178f39dc47a65da598');


--
-- Name: audit_log_n_seq; Type: SEQUENCE SET; Schema: public; Owner: sealbus_writer
--

SELECT pg_catalog.setval('public.audit_log_n_seq', 12, true);


--
-- Name: deployment_generation_seq; Type: SEQUENCE SET; Schema: sealbus; Owner: sealbus_owner
--

SELECT pg_catalog.setval('sealbus.deployment_generation_seq', 1, true);


--
-- Name: outbox_id_seq; Type: SEQUENCE SET; Schema: sealbus; Owner: sealbus_owner
--

SELECT pg_catalog.setval('sealbus.outbox_id_seq', 13, true);


--
-- Name: plans_plan_no_seq; Type: SEQUENCE SET; Schema: sealbus; Owner: sealbus_owner
--

SELECT pg_catalog.setval('sealbus.plans_plan_no_seq', 7, true);


--
-- Name: seal_queue_id_seq; Type: SEQUENCE SET; Schema: sealbus; Owner: sealbus_owner
--

SELECT pg_catalog.setval('sealbus.seal_queue_id_seq', 13, true);


--
-- Name: subscriptions_subscription_no_seq; Type: SEQUENCE SET; Schema: sealbus; Owner: sealbus_owner
--

SELECT pg_catalog.setval('sealbus.subscriptions_subscription_no_seq', 2, true);


--
-- Name: audit_log audit_log_pkey; Type: CONSTRAINT; Schema: public; Owner: sealbus_writer
--

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (n);


--
-- Name: audit_log audit_log_tenant_plan_seq_key; Type: CONSTRAINT; Schema: public; Owner: sealbus_writer
--

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_tenant_plan_seq_key UNIQUE (tenant, plan, seq);


--
-- Name: _sqlx_migrations _sqlx_migrations_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);


--
-- Name: attempts attempts_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (subscription_no, plan_no, seq, n);


--
-- Name: beacons beacons_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.beacons
    ADD CONSTRAINT beacons_pkey PRIMARY KEY (stream, created, stream_seq);


--
-- Name: checkpoints checkpoints_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (log_id);


--
-- Name: data_keys data_keys_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.data_keys
    ADD CONSTRAINT data_keys_pkey PRIMARY KEY (tenant, key_id);


--
-- Name: data_keys data_keys_tenant_subject_epoch_key; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.data_keys
    ADD CONSTRAINT data_keys_tenant_subject_epoch_key UNIQUE (tenant, subject, epoch);


--
-- Name: deployment deployment_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.deployment
    ADD CONSTRAINT deployment_pkey PRIMARY KEY (generation);


--
-- Name: events events_id_once; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.events
    ADD CONSTRAINT events_id_once UNIQUE (tenant, event_id);


--
-- Name: events events_no_fork; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.events
    ADD CONSTRAINT events_no_fork UNIQUE (plan_no, prev);


--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (plan_no, seq);


--
-- Name: floors floors_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.floors
    ADD CONSTRAINT floors_pkey PRIMARY KEY (subscription_no, partition);


--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (kind, key);


--
-- Name: log_leaves log_leaves_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.log_leaves
    ADD CONSTRAINT log_leaves_pkey PRIMARY KEY (log_id, leaf_index);


--
-- Name: log_leaves log_leaves_plan_no_seq_key; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.log_leaves
    ADD CONSTRAINT log_leaves_plan_no_seq_key UNIQUE (plan_no, seq);


--
-- Name: log_roots log_roots_log_id_prev_size_key; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.log_roots
    ADD CONSTRAINT log_roots_log_id_prev_size_key UNIQUE (log_id, prev_size);


--
-- Name: log_roots log_roots_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.log_roots
    ADD CONSTRAINT log_roots_pkey PRIMARY KEY (log_id, size);


--
-- Name: outbox outbox_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);


--
-- Name: outbox outbox_plan_no_seq_key; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.outbox
    ADD CONSTRAINT outbox_plan_no_seq_key UNIQUE (plan_no, seq);


--
-- Name: plans plans_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (plan_no);


--
-- Name: plans plans_tenant_plan_key; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.plans
    ADD CONSTRAINT plans_tenant_plan_key UNIQUE (tenant, plan);


--
-- Name: positions positions_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.positions
    ADD CONSTRAINT positions_pkey PRIMARY KEY (subscription_no, plan_no);


--
-- Name: seal_queue seal_queue_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.seal_queue
    ADD CONSTRAINT seal_queue_pkey PRIMARY KEY (id);


--
-- Name: signing_keys signing_keys_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.signing_keys
    ADD CONSTRAINT signing_keys_pkey PRIMARY KEY (kid);


--
-- Name: subscriptions subscriptions_name_key; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.subscriptions
    ADD CONSTRAINT subscriptions_name_key UNIQUE (name);


--
-- Name: subscriptions subscriptions_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (subscription_no);


--
-- Name: tiles tiles_pkey; Type: CONSTRAINT; Schema: sealbus; Owner: sealbus_owner
--

ALTER TABLE ONLY sealbus.tiles
    ADD CONSTRAINT tiles_pkey PRIMARY KEY (log_id, level, index);


--
-- Name: events_encrypted; Type: INDEX; Schema: sealbus; Owner: sealbus_owner
--

CREATE INDEX events_encrypted ON sealbus.events USING btree (tenant, plan_no, seq) WHERE (payload_mode = 2);


--
-- Name: events_erasures; Type: INDEX; Schema: sealbus; Owner: sealbus_owner
--

CREATE INDEX events_erasures ON sealbus.events USING btree (tenant, plan_no, seq) WHERE (type = 'subject.erased'::text);


--
-- Name: log_leaves_partition; Type: INDEX; Schema: sealbus; Owner: sealbus_owner
--

CREATE INDEX log_leaves_partition ON sealbus.log_leaves USING btree (partition, leaf_index);


--
-- Name: outbox_partition; Type: INDEX; Schema: sealbus; Owner: sealbus_owner
--

CREATE INDEX outbox_partition ON sealbus.outbox USING btree (partition, id);


--
-- Name: positions_owed; Type: INDEX; Schema: sealbus; Owner: sealbus_owner
--

CREATE INDEX positions_owed ON sealbus.positions USING btree (subscription_no, next_at) WHERE (state <> 'live'::text);


--
-- Name: deployment append_only; Type: TRIGGER; Schema: sealbus; Owner: sealbus_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON sealbus.deployment FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change();


--
-- Name: events append_only; Type: TRIGGER; Schema: sealbus; Owner: sealbus_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON sealbus.events FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change();


--
-- Name: log_leaves append_only; Type: TRIGGER; Schema: sealbus; Owner: sealbus_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON sealbus.log_leaves FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change();


--
-- Name: log_roots append_only; Type: TRIGGER; Schema: sealbus; Owner: sealbus_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON sealbus.log_roots FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change();


--
-- Name: plans append_only; Type: TRIGGER; Schema: sealbus; Owner: sealbus_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON sealbus.plans FOR EACH STATEMENT EXECUTE FUNCTION sealbus.refuse_change();


--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: pg_database_owner
--

GRANT ALL ON SCHEMA public TO sealbus_writer;


--
-- Name: SCHEMA sealbus; Type: ACL; Schema: -; Owner: sealbus_owner
--

GRANT USAGE ON SCHEMA sealbus TO sealbus_writer;


--
-- Name: FUNCTION lock_plans(tenants text[], plans text[], keys bigint[], id_tenants text[], ids uuid[], wait boolean, signer text); Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT ALL ON FUNCTION sealbus.lock_plans(tenants text[], plans text[], keys bigint[], id_tenants text[], ids uuid[], wait boolean, signer text) TO sealbus_writer;


--
-- Name: FUNCTION signing_lock(kid text); Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT ALL ON FUNCTION sealbus.signing_lock(kid text) TO sealbus_writer;


--
-- Name: TABLE _sqlx_migrations; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT ON TABLE sealbus._sqlx_migrations TO sealbus_writer;


--
-- Name: TABLE attempts; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.attempts TO sealbus_writer;


--
-- Name: TABLE beacons; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.beacons TO sealbus_writer;


--
-- Name: TABLE checkpoints; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.checkpoints TO sealbus_writer;


--
-- Name: TABLE data_keys; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.data_keys TO sealbus_writer;


--
-- Name: TABLE deployment; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT ON TABLE sealbus.deployment TO sealbus_writer;


--
-- Name: TABLE events; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT ON TABLE sealbus.events TO sealbus_writer;


--
-- Name: TABLE floors; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.floors TO sealbus_writer;


--
-- Name: TABLE leases; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.leases TO sealbus_writer;


--
-- Name: TABLE log_leaves; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT ON TABLE sealbus.log_leaves TO sealbus_writer;


--
-- Name: TABLE log_roots; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT ON TABLE sealbus.log_roots TO sealbus_writer;


--
-- Name: TABLE outbox; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.outbox TO sealbus_writer;


--
-- Name: TABLE plans; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT ON TABLE sealbus.plans TO sealbus_writer;


--
-- Name: TABLE positions; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.positions TO sealbus_writer;


--
-- Name: TABLE seal_queue; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.seal_queue TO sealbus_writer;


--
-- Name: TABLE signing_keys; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE sealbus.signing_keys TO sealbus_writer;


--
-- Name: TABLE subscriptions; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.subscriptions TO sealbus_writer;


--
-- Name: TABLE tiles; Type: ACL; Schema: sealbus; Owner: sealbus_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE sealbus.tiles TO sealbus_writer;


--
-- PostgreSQL database dump complete
--


