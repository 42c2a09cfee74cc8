-- The two roles of a Sealbus database, made once by its superuser, inside that database:
--   psql -v ON_ERROR_STOP=1 -f migrations/roles.sql
-- Repeating it changes nothing. Give each role LOGIN and a password (or a certificate) afterwards; none is set here.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sealbus_owner') THEN
        CREATE ROLE sealbus_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sealbus_writer') THEN
        CREATE ROLE sealbus_writer NOLOGIN;
    END IF;
END
$$;

-- A writer that dies inside a transaction must not hold its plans' locks for longer than this.
ALTER ROLE sealbus_writer SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE sealbus_writer SET tcp_keepalives_idle = 5;
ALTER ROLE sealbus_writer SET tcp_keepalives_interval = 2;
ALTER ROLE sealbus_writer SET tcp_keepalives_count = 3;

-- sealbus: the ledger, the owner's alone. sealbus_sinks: tables that sinks make for themselves.
CREATE SCHEMA IF NOT EXISTS sealbus AUTHORIZATION sealbus_owner;
CREATE SCHEMA IF NOT EXISTS sealbus_sinks AUTHORIZATION sealbus_owner;
