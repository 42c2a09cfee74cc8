-- The Merkle tree over the leaves, and the checkpoint that is shown to readers (docs/spec/integrity.md#log-tree).

-- The hashes of the tree, up to 256 in a tile (c2sp.org/tlog-tiles). A partial tile grows in its row until it is full. The
-- narrower tiles of smaller trees are prefixes of it.
CREATE TABLE sealbus.tiles (
    log_id uuid     NOT NULL,
    level  smallint NOT NULL,
    index  bigint   NOT NULL,
    width  smallint NOT NULL CHECK (width BETWEEN 1 AND 256),
    hashes bytea    NOT NULL CHECK (length(hashes) = 32 * width),
    PRIMARY KEY (log_id, level, index)
);
-- Hashes do not compress.
ALTER TABLE sealbus.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;
COMMENT ON TABLE sealbus.tiles IS 'Hash tiles of the log, written in the transaction that adds the leaves.';

CREATE TABLE sealbus.checkpoints (
    log_id   uuid        NOT NULL PRIMARY KEY,
    size     bigint      NOT NULL,
    note     text        NOT NULL,
    shown_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE sealbus.checkpoints IS
    'The newest anchored checkpoint, as it is shown: with the witnesses'' lines, and the newest time. Each signed note, as it was stored before it was anchored, stands in log_roots.';

GRANT SELECT, INSERT, UPDATE, DELETE ON sealbus.tiles, sealbus.checkpoints TO sealbus_writer;
