//! The conversion of a row of `events` into a [`Record`], and the list of columns that every read uses.

use std::pin::pin;

use futures::{Stream, TryStreamExt as _};
use sealbus_core::event::{Header, PayloadMode, Record, V1};
use sealbus_core::hash::Hash;
use sealbus_core::seal::KeyId;
use sealbus_core::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::LedgerError;

/// The columns of a record, with the types that they have in the database.
#[derive(Debug)]
pub(crate) struct RecordRow {
    pub plan_no: i64,
    pub tenant: String,
    pub plan: String,
    pub seq: i64,
    pub event_id: Uuid,
    pub event_type: String,
    pub data_version: i32,
    pub occurred: OffsetDateTime,
    pub recorded: OffsetDateTime,
    pub source: String,
    pub actor: String,
    pub correlation_id: String,
    pub causation_id: String,
    pub payload_mode: i16,
    pub payload_size: i32,
    pub payload_hash: Vec<u8>,
    pub metadata_hash: Vec<u8>,
    pub prev: Vec<u8>,
    pub kid: String,
    pub event_hash: Vec<u8>,
    pub mac: Vec<u8>,
    pub sig: Vec<u8>,
    pub request_mac: Vec<u8>,
    pub payload: Option<String>,
    pub metadata: String,
    pub v1_payload_hash: Option<String>,
    pub v1_prev_hash: Option<String>,
    pub v1_signature: Option<String>,
    pub log_index: Option<i64>,
}

/// Builds a statement that selects the columns of [`RecordRow`]: its name, what follows the FROM clause, and its arguments. The
/// FROM clause has all events `e`, with their plans `p` and their leaves `l`. After `from`, the statement has its own FROM clause
/// with these names, and after `with`, also what comes before the SELECT.
macro_rules! select_records {
    ($name:literal, $condition:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, "", [
            "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             " $condition
        ] $(, $argument)*)
    };
    ($name:literal, from $tail:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, "", [$tail] $(, $argument)*)
    };
    ($name:literal, with $with:literal, from $tail:literal $(, $argument:expr)* $(,)?) => {
        select_records!(@ $name, $with, [$tail] $(, $argument)*)
    };
    (@ $name:literal, $with:literal, [$first:literal $($second:literal)?] $(, $argument:expr)*) => {
        sqlx::query_as!(
            $crate::history::record::RecordRow,
            "-- " + $name + "\n" + $with + "
            SELECT e.plan_no, e.tenant, p.plan, e.seq, e.event_id, e.type AS event_type, e.data_version, e.occurred, e.recorded,
                   e.source, e.actor, e.correlation_id, e.causation_id, e.payload_mode, e.payload_size, e.payload_hash,
                   e.metadata_hash, e.prev, e.kid, e.event_hash, e.mac, e.sig, e.request_mac, e.payload::text AS \"payload?\",
                   e.metadata::text AS \"metadata!\", e.v1_payload_hash, e.v1_prev_hash, e.v1_signature, l.leaf_index AS \"log_index?\"
            " + $first $(+ $second)?
            $(, $argument)*
        )
    };
}
pub(crate) use select_records;

impl RecordRow {
    /// Removes a negative log index, for verification: the event then counts as not sealed.
    pub(crate) fn without_invalid_index(self) -> Self {
        Self { log_index: self.log_index.filter(|index| *index >= 0), ..self }
    }

    /// Converts the row into a record of a ledger with this origin.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] if a column is not of its form: Sealbus did not write the row.
    pub(crate) fn into_record(self, origin: &str) -> Result<Record, LedgerError> {
        let unreadable = |detail: String| {
            let (tenant, plan, seq) = (self.tenant.clone(), self.plan.clone(), self.seq);
            LedgerError::Unreadable { tenant, plan, seq, detail }
        };
        let hash = |bytes: &[u8], column: &str| {
            Hash::from_slice(bytes).ok_or_else(|| unreadable(format!("{column} is not 32 bytes long")))
        };
        let payload_hash = hash(&self.payload_hash, "payload_hash")?;
        let metadata_hash = hash(&self.metadata_hash, "metadata_hash")?;
        let prev = hash(&self.prev, "prev")?;
        let event_hash = hash(&self.event_hash, "event_hash")?;
        let negative = |column: &str| unreadable(format!("{column} is negative"));
        let seq = u64::try_from(self.seq).map_err(|_| negative("seq"))?;
        let data_version = u32::try_from(self.data_version).map_err(|_| negative("data_version"))?;
        let payload_size = u32::try_from(self.payload_size).map_err(|_| negative("payload_size"))?;
        let payload_mode = u8::try_from(self.payload_mode).ok().and_then(PayloadMode::from_code);
        let payload_mode = payload_mode.ok_or_else(|| unreadable("payload_mode is not 1, 2 or 3".to_owned()))?;
        let log_index =
            self.log_index.map(|index| u64::try_from(index).map_err(|_| negative("leaf_index"))).transpose()?;
        let header = Header {
            payload_hash,
            metadata_hash,
            prev,
            seq,
            data_version,
            payload_size,
            payload_mode,
            origin: origin.to_owned(),
            event_id: self.event_id,
            occurred: Timestamp::from_offset(self.occurred),
            recorded: Timestamp::from_offset(self.recorded),
            tenant: self.tenant,
            plan: self.plan,
            event_type: self.event_type,
            source: self.source,
            actor: self.actor,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            kid: KeyId::new(self.kid),
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
            event_hash,
            v1,
            mac: self.mac,
            sig: self.sig,
            payload: self.payload,
            metadata: self.metadata,
            request_mac: self.request_mac,
            log_index,
        })
    }
}

/// Converts all rows of a statement that returns few of them.
pub(crate) fn into_records(rows: Vec<RecordRow>, origin: &str) -> Result<Vec<Record>, LedgerError> {
    rows.into_iter().map(|row| row.into_record(origin)).collect()
}

/// The bytes of events after which a read of several events ends, although its limit allows more. It always returns one event.
pub const MAX_READ_BYTES: usize = 1024 * 1024;

/// The memory of an event in addition to payload and metadata, in bytes. Headers are rarely longer.
const RECORD_OVERHEAD_BYTES: usize = 512;

/// The events of a read that is bounded in bytes.
pub(crate) struct BoundedRead {
    pub records: Vec<Record>,
    /// Whether the bytes ended it, and not its limit.
    pub is_cut: bool,
}

/// Converts rows one by one as they arrive, until the events have [`MAX_READ_BYTES`].
pub(crate) async fn read_bounded(
    rows: impl Stream<Item = sqlx::Result<RecordRow>>,
    origin: &str,
) -> Result<BoundedRead, LedgerError> {
    let mut rows = pin!(rows);
    let (mut records, mut bytes) = (Vec::new(), 0);
    while bytes < MAX_READ_BYTES {
        let Some(row) = rows.try_next().await? else { return Ok(BoundedRead { records, is_cut: false }) };
        let record = row.into_record(origin)?;
        bytes += RECORD_OVERHEAD_BYTES + record.content_bytes();
        records.push(record);
    }
    Ok(BoundedRead { records, is_cut: true })
}
