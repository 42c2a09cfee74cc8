-- Creates the two roles and the schemas of a Sealbus database. A superuser runs it once, in that database:
--   psql -v ON_ERROR_STOP=1 -f migrations/roles.sql
-- Repeating it changes nothing. Afterwards give each role LOGIN and a password or a certificate.
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

-- A writer that crashes inside a transaction does not hold its locks for longer than this.
ALTER ROLE sealbus_writer SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE sealbus_writer SET tcp_keepalives_idle = 5;
ALTER ROLE sealbus_writer SET tcp_keepalives_interval = 2;
ALTER ROLE sealbus_writer SET tcp_keepalives_count = 3;

-- Schema sealbus has the ledger. Schema sealbus_sinks has the tables that sinks create.
CREATE SCHEMA IF NOT EXISTS sealbus AUTHORIZATION sealbus_owner;
CREATE SCHEMA IF NOT EXISTS sealbus_sinks AUTHORIZATION sealbus_owner;
