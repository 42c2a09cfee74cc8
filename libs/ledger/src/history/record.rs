//! The conversion of a row of `events` into a [`Record`], and the list of columns that every read uses.

use std::pin::pin;

use futures::{Stream, TryStreamExt as _};
use sealbus_core::event::{Header, PayloadMode, Record, V1};
use sealbus_core::hash::Hash;
use sealbus_core::seal::KeyId;
use sealbus_core::timestamp::Timestamp;
use uuid::Uuid;

use crate::LedgerError;
use crate::stored_time::StoredTime;

/// The columns of a record, with the types that they have in the database.
///
/// Each column can be null, although Sealbus writes no null where the table refuses it: the row may have been written by hand.
/// Only the plan number is known, since each statement finds the row by it.
#[derive(Debug)]
pub(crate) struct RecordRow {
    pub plan_no: i64,
    pub tenant: Option<String>,
    pub plan: Option<String>,
    pub seq: Option<i64>,
    pub event_id: Option<Uuid>,
    pub event_type: Option<String>,
    pub data_version: Option<i32>,
    pub occurred: Option<StoredTime>,
    pub recorded: Option<StoredTime>,
    pub source: Option<String>,
    pub actor: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    pub payload_mode: Option<i16>,
    pub payload_size: Option<i32>,
    pub payload_hash: Option<Vec<u8>>,
    pub metadata_hash: Option<Vec<u8>>,
    pub prev: Option<Vec<u8>>,
    pub kid: Option<String>,
    pub event_hash: Option<Vec<u8>>,
    pub mac: Option<Vec<u8>>,
    pub sig: Option<Vec<u8>>,
    pub request_mac: Option<Vec<u8>>,
    pub payload: Option<String>,
    pub metadata: Option<String>,
    pub v1_payload_hash: Option<String>,
    pub v1_prev_hash: Option<String>,
    pub v1_signature: Option<String>,
    pub log_index: Option<i64>,
    /// The leaf hash in the table of leaves. It is only read for verification ([`select_records`] with `leaf_hash`), and null
    /// if the row of the leaf is malformed.
    pub leaf_hash: Option<Vec<u8>>,
}

/// Builds a statement that selects the columns of [`RecordRow`]: its name, what follows the FROM clause, and its arguments. The
/// FROM clause has all events `e`, with their plans `p` and their leaves `l`. After `from`, the statement has its own FROM clause
/// with these names, and after `with`, also what comes before the SELECT. With `leaf_hash`, the hash of the leaf is read too,
/// unless the row of the leaf is malformed; the third argument is then the id of the log.
macro_rules! select_records {
    ($name:literal, $condition:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, "", "NULL::bytea", [
            "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             " $condition
        ] $(, $argument)*)
    };
    ($name:literal, from $tail:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, "", "NULL::bytea", [$tail] $(, $argument)*)
    };
    ($name:literal, with $with:literal, from $tail:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, $with, "NULL::bytea", [$tail] $(, $argument)*)
    };
    ($name:literal, leaf_hash, from $tail:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, "", "CASE WHEN l.log_id = $3 AND l.partition = p.partition
                   AND l.sealed_at >= '0001-01-01Z' AND l.sealed_at < '10000-01-01Z' THEN l.leaf_hash END",
            [$tail] $(, $argument)*)
    };
    // `page` selects rows of `events e` up to a limit, and `place` is the order in which they are read. The server sends only as many
    // of them as the read takes, because all that it sends has to be received before the connection can be used again. ORDER BY
    // makes it look each row up by the right index, also if the statement was planned while the tables were empty.
    ($name:literal, bounded by $place:literal, page $page:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, "WITH page AS MATERIALIZED (
                SELECT e.plan_no, e.seq, " $place " AS place,
                       CASE WHEN e.payload IS NULL THEN 0 ELSE greatest(e.payload_size, 0)::bigint END
                           + coalesce(octet_length(e.metadata::text), 0) AS size
                " $page "
            ), sized AS (
                SELECT plan_no, seq, place,
                       coalesce(sum(size) OVER (ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
                FROM page
            )", "NULL::bytea", ["FROM sized
            CROSS JOIN LATERAL (SELECT * FROM sealbus.events e WHERE e.plan_no = sized.plan_no AND e.seq = sized.seq
                ORDER BY e.plan_no, e.seq LIMIT 1) e
            CROSS JOIN LATERAL (SELECT * FROM sealbus.plans p WHERE p.plan_no = e.plan_no ORDER BY p.plan_no LIMIT 1) p
            LEFT JOIN LATERAL (SELECT * FROM sealbus.log_leaves l WHERE l.plan_no = e.plan_no AND l.seq = e.seq
                ORDER BY l.plan_no, l.seq LIMIT 1) l ON true
            WHERE sized.before < 1048576 ORDER BY sized.place"] $(, $argument)*)
    };
    (@ $name:literal, $with:literal $($more:literal)*, $leaf_hash:literal, [$first:literal $($second:literal)?] $(, $argument:expr)*) => {
        sqlx::query_as!(
            $crate::history::record::RecordRow,
            "-- " + $name + "\n" + $with $(+ $more)* + "
            SELECT e.plan_no, e.tenant AS \"tenant?\", p.plan AS \"plan?\", e.seq AS \"seq?\", e.event_id AS \"event_id?\",
                   e.type AS \"event_type?\", e.data_version AS \"data_version?\", e.occurred AS \"occurred?: _\",
                   e.recorded AS \"recorded?: _\", e.source AS \"source?\", e.actor AS \"actor?\",
                   e.correlation_id AS \"correlation_id?\", e.causation_id AS \"causation_id?\",
                   e.payload_mode AS \"payload_mode?\", e.payload_size AS \"payload_size?\",
                   e.payload_hash AS \"payload_hash?\", e.metadata_hash AS \"metadata_hash?\", e.prev AS \"prev?\",
                   e.kid AS \"kid?\", e.event_hash AS \"event_hash?\", e.mac AS \"mac?\", e.sig AS \"sig?\",
                   e.request_mac AS \"request_mac?\", e.payload::text AS \"payload?\", e.metadata::text AS \"metadata?\",
                   e.v1_payload_hash, e.v1_prev_hash, e.v1_signature, l.leaf_index AS \"log_index?\",
                   " + $leaf_hash + " AS \"leaf_hash?\"
            " + $first $(+ $second)?
            $(, $argument)*
        )
    };
}
pub(crate) use select_records;

impl RecordRow {
    /// Returns the bytes of payload and metadata, and no less than the statement of a bounded read counts.
    fn bytes(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, |payload| {
            payload.len().max(self.payload_size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0))
        });
        payload + self.metadata.as_ref().map_or(0, String::len)
    }

    /// Returns the log index if the event has a leaf at a valid one. An event at another index counts as not sealed.
    pub(crate) fn valid_index(&self) -> Option<u64> {
        u64::try_from(self.log_index?).ok()
    }

    /// Converts the row into a record of a ledger with this origin. It takes the log index as it is.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] if a column is not of its form: Sealbus did not write the row.
    pub(crate) fn into_record(self, origin: &str) -> Result<Record, LedgerError> {
        let place = (self.tenant.clone(), self.plan.clone(), self.seq);
        self.record(origin).map_err(|detail| {
            let (tenant, plan, seq) = place;
            let (tenant, plan) = (tenant.unwrap_or_default(), plan.unwrap_or_default());
            LedgerError::Unreadable { tenant, plan, seq: seq.unwrap_or_default(), detail }
        })
    }

    /// Converts the row. The error names the column and its fault.
    fn record(self, origin: &str) -> Result<Record, String> {
        let payload_mode = known("payload_mode", self.payload_mode)?;
        let payload_mode = u8::try_from(payload_mode).ok().and_then(PayloadMode::from_code);
        let header = Header {
            origin: origin.to_owned(),
            tenant: known("tenant", self.tenant)?,
            plan: known("plan", self.plan)?,
            seq: number("seq", self.seq)?,
            event_id: known("event_id", self.event_id)?,
            event_type: known("type", self.event_type)?,
            data_version: number("data_version", self.data_version)?,
            occurred: time("occurred", self.occurred)?,
            recorded: time("recorded", self.recorded)?,
            source: known("source", self.source)?,
            actor: known("actor", self.actor)?,
            correlation_id: known("correlation_id", self.correlation_id)?,
            causation_id: known("causation_id", self.causation_id)?,
            payload_mode: payload_mode.ok_or("payload_mode is not 1, 2 or 3")?,
            payload_size: number("payload_size", self.payload_size)?,
            payload_hash: hash("payload_hash", self.payload_hash)?,
            metadata_hash: hash("metadata_hash", self.metadata_hash)?,
            prev: hash("prev", self.prev)?,
            kid: KeyId::new(known("kid", self.kid)?),
        };
        // One of the three columns is enough, so that verification notices if another one was emptied.
        let has_v1 = self.v1_payload_hash.is_some() || self.v1_prev_hash.is_some() || self.v1_signature.is_some();
        let v1 = has_v1.then(|| V1 {
            payload_hash: self.v1_payload_hash.unwrap_or_default(),
            prev_hash: self.v1_prev_hash,
            signature: self.v1_signature.unwrap_or_default(),
        });
        Ok(Record {
            header,
            event_hash: hash("event_hash", self.event_hash)?,
            v1,
            mac: known("mac", self.mac)?,
            sig: known("sig", self.sig)?,
            payload: self.payload,
            metadata: known("metadata", self.metadata)?,
            request_mac: known("request_mac", self.request_mac)?,
            log_index: self.log_index.map(|index| number("leaf_index", Some(index))).transpose()?,
        })
    }
}

/// Returns the value of a column, which must not be null.
fn known<T>(column: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("{column} is null"))
}

/// Returns the value of a column with a number that is not negative.
fn number<S, T: TryFrom<S>>(column: &str, value: Option<S>) -> Result<T, String> {
    T::try_from(known(column, value)?).map_err(|_| format!("{column} is negative"))
}

/// Returns the value of a column with a hash.
fn hash(column: &str, value: Option<Vec<u8>>) -> Result<Hash, String> {
    Hash::from_slice(&known(column, value)?).ok_or_else(|| format!("{column} is not 32 bytes long"))
}

/// Returns the value of a column with a time.
fn time(column: &str, value: Option<StoredTime>) -> Result<Timestamp, String> {
    known(column, value)?.timestamp().ok_or_else(|| format!("{column} is not in the years -9999 to 9999"))
}

/// Converts all rows of a statement that returns few of them.
pub(crate) fn into_records(rows: Vec<RecordRow>, origin: &str) -> Result<Vec<Record>, LedgerError> {
    rows.into_iter().map(|row| row.into_record(origin)).collect()
}

/// The bytes of events after which a read of several events ends, although its limit allows more. It always returns one event.
/// The statements of bounded reads contain the number too.
pub const MAX_READ_BYTES: usize = 1024 * 1024;

/// The memory of an event in addition to payload and metadata, in bytes. Headers are rarely longer.
const RECORD_OVERHEAD_BYTES: usize = 512;

/// The events of a read that is bounded in bytes.
#[derive(Default)]
pub(crate) struct BoundedRead {
    pub records: Vec<Record>,
    /// The log index of the last row, also if that row was left out.
    pub last_index: Option<u64>,
    /// The number of rows.
    pub rows: u64,
    /// Whether the bytes, or an invalid row, ended the read, and not its limit.
    pub is_cut: bool,
}

/// Converts the rows of a bounded statement one by one as they arrive, until they have [`MAX_READ_BYTES`]. `on_invalid` decides
/// about a row that is not of its form: without an error it is left out, and an error ends the read before it. Only a read that
/// begins with the row fails, so that the events before it can be read.
pub(crate) async fn read_bounded(
    rows: impl Stream<Item = sqlx::Result<RecordRow>>,
    origin: &str,
    on_invalid: impl Fn(LedgerError) -> Result<(), LedgerError>,
) -> Result<BoundedRead, LedgerError> {
    let mut rows = pin!(rows);
    let (mut read, mut bytes) = (BoundedRead::default(), 0);
    while bytes < MAX_READ_BYTES {
        let Some(row) = rows.try_next().await? else { return Ok(read) };
        read.rows += 1;
        read.last_index = row.valid_index().or(read.last_index);
        bytes += RECORD_OVERHEAD_BYTES + row.bytes();
        match row.into_record(origin) {
            Ok(record) => read.records.push(record),
            Err(error) => match on_invalid(error) {
                Ok(()) => {}
                Err(_) if !read.records.is_empty() => break,
                Err(error) => return Err(error),
            },
        }
    }
    read.is_cut = true;
    Ok(read)
}
