//! Checked conversions between Postgres values and Rust values.
//!
//! Postgres has no unsigned integers, and its types allow values that Sealbus never writes. A stored value that is not valid
//! for its column is [`LedgerError::Corrupt`], and a number of the caller that does not fit into its column is
//! [`LedgerError::OutOfRange`]. Both name table and column. No conversion replaces a value by a default.

use std::fmt::Display;
use std::time::Duration;

use sealbus_core::hash::Hash;
use sealbus_core::timestamp::Timestamp;
use sqlx::PgConnection;

use crate::LedgerError;
use crate::stored_time::StoredTime;

/// A column of a table, or of the result of a statement or function, for conversions and their errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    table: &'static str,
    name: &'static str,
    row: Option<i64>,
}

impl Column {
    pub(crate) const fn new(table: &'static str, name: &'static str) -> Self {
        Self { table, name, row: None }
    }

    /// Returns the column of one row, by the number that identifies the row in its table.
    pub(crate) const fn of_row(self, row: i64) -> Self {
        Self { row: Some(row), ..self }
    }

    /// Converts a stored number.
    pub(crate) fn read<S, T>(self, stored: S) -> Result<T, LedgerError>
    where
        S: Copy + Display,
        T: TryFrom<S>,
    {
        T::try_from(stored).map_err(|_| self.corrupt(format!("{stored} is not a {}", std::any::type_name::<T>())))
    }

    /// Converts a stored hash of 32 bytes.
    pub(crate) fn hash(self, stored: &[u8]) -> Result<Hash, LedgerError> {
        Hash::from_slice(stored).ok_or_else(|| self.corrupt(format!("{} bytes instead of 32", stored.len())))
    }

    /// Converts a stored time.
    pub(crate) fn time(self, stored: StoredTime) -> Result<Timestamp, LedgerError> {
        stored.timestamp().ok_or_else(|| self.corrupt("not in the years -9999 to 9999"))
    }

    /// Converts an ordinal of the database, which counts from 1, into an index of a list with `length` elements.
    pub(crate) fn index(self, ordinal: impl Into<i64>, length: usize) -> Result<usize, LedgerError> {
        let ordinal = ordinal.into();
        let index = ordinal.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index
            .filter(|index| *index < length)
            .ok_or_else(|| self.corrupt(format!("{ordinal} is not a place in a list of {length}")))
    }

    /// Converts a number for a `bigint` column.
    pub(crate) fn bigint(self, value: u64) -> Result<i64, LedgerError> {
        self.fit(value)
    }

    /// Converts a number for an `integer` column.
    pub(crate) fn integer(self, value: u32) -> Result<i32, LedgerError> {
        self.fit(value)
    }

    /// Returns the error for a stored value that is not valid; `reason` says what is wrong with the value.
    pub(crate) fn corrupt(self, reason: impl Into<String>) -> LedgerError {
        LedgerError::Corrupt { table: self.table, column: self.name, row: self.row, reason: reason.into() }
    }

    /// Converts a number for a column of another type.
    pub(crate) fn fit<V: Copy + Display, P: TryFrom<V>>(self, value: V) -> Result<P, LedgerError> {
        P::try_from(value).map_err(|_| LedgerError::OutOfRange {
            table: self.table,
            column: self.name,
            value: value.to_string(),
        })
    }
}

/// Converts a number that a statement only compares with a `bigint` column.
///
/// No stored number is above `i64::MAX`, so the comparison has the same result with that bound as with a larger one.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Limits how long a statement of the current transaction waits for a lock.
pub(crate) async fn set_lock_timeout(connection: &mut PgConnection, timeout: Duration) -> Result<(), sqlx::Error> {
    let milliseconds = timeout.as_millis().to_string();
    sqlx::query!("-- lock_timeout\nSELECT set_config('lock_timeout', $1, true) AS set", milliseconds)
        .fetch_one(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT_SEQ: Column = Column::new("positions", "next_seq");
    const PARTITION: Column = Column::new("plans", "partition");

    #[test]
    fn values_that_fit_are_converted() {
        assert_eq!(NEXT_SEQ.read::<i64, u64>(i64::MAX).unwrap(), i64::MAX.unsigned_abs());
        assert_eq!(PARTITION.read::<i32, u32>(63).unwrap(), 63);
        assert_eq!(NEXT_SEQ.bigint(i64::MAX.unsigned_abs()).unwrap(), i64::MAX);
        assert_eq!(PARTITION.integer(63).unwrap(), 63);
        assert_eq!(PARTITION.fit::<u16, i16>(256).unwrap(), 256);
        assert_eq!(NEXT_SEQ.hash(&[7; 32]).unwrap(), Hash([7; 32]));
        assert_eq!(NEXT_SEQ.index(1, 1).unwrap(), 0);
        assert_eq!([bound(7), bound(u64::MAX)], [7, i64::MAX]);
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_table_its_column_and_its_row() {
        let refused = [
            (NEXT_SEQ.read::<i64, u64>(-1).map(drop), "positions.next_seq is invalid: -1 is not a u64"),
            (
                NEXT_SEQ.of_row(7).read::<i64, u64>(-1).map(drop),
                "positions.next_seq of row 7 is invalid: -1 is not a u64",
            ),
            (PARTITION.read::<i32, u32>(-1).map(drop), "plans.partition is invalid: -1 is not a u32"),
            (NEXT_SEQ.hash(&[7; 31]).map(drop), "positions.next_seq is invalid: 31 bytes instead of 32"),
            (NEXT_SEQ.index(0, 3).map(drop), "positions.next_seq is invalid: 0 is not a place in a list of 3"),
            (NEXT_SEQ.index(4, 3).map(drop), "positions.next_seq is invalid: 4 is not a place in a list of 3"),
            (
                NEXT_SEQ.index(i64::MIN, 3).map(drop),
                "positions.next_seq is invalid: -9223372036854775808 is not a place in a list of 3",
            ),
            (NEXT_SEQ.bigint(1 << 63).map(drop), "9223372036854775808 does not fit into positions.next_seq"),
            (PARTITION.integer(1 << 31).map(drop), "2147483648 does not fit into plans.partition"),
            (PARTITION.fit::<u16, i16>(1 << 15).map(drop), "32768 does not fit into plans.partition"),
        ];
        for (result, message) in refused {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
    }
}
