//! The encoding of sealed fields: length-prefixed texts, big-endian integers, and the error for bytes that break it.

use crate::verdict::Verdict;

/// Bytes or fields that the format of the seal does not allow (docs/spec/integrity.md#v2-refused).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A field breaks its rule.
    #[error("{field} must be {rule}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The rule, as the end of a sentence.
        rule: &'static str,
    },
    /// The label at the beginning belongs to no known scheme.
    #[error("unknown label at the beginning")]
    Scheme,
    /// The bytes end inside a field.
    #[error("bytes end inside {field}")]
    Cut {
        /// The field's name.
        field: &'static str,
    },
    /// Bytes follow the last field.
    #[error("bytes after the last field")]
    Excess,
    /// The suite is not that of the key id, or the seal is not of the suite.
    #[error("seal does not match the suite of the key id")]
    Suite,
}

impl FormatError {
    /// Refuses a field that breaks its rule.
    pub(crate) fn require(field: &'static str, holds: bool, rule: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Field { field, rule }) }
    }

    /// Returns the verdict on an event with these bytes: SUITE or FORMAT.
    pub fn verdict(&self) -> Verdict {
        if matches!(self, Self::Suite) { Verdict::Suite } else { Verdict::Format }
    }
}

/// Appends the length of `bytes` as a u32 and then `bytes`, so that two different lists of texts have different encodings.
pub(crate) fn lp(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("fields are limited to far less than 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Returns `label ‖ lp(origin) ‖ lp(tenant) ‖ lp(plan)`, which identifies a plan among those of all deployments.
pub(crate) fn plan_label(label: &str, origin: &str, tenant: &str, plan: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(label.len() + 12 + origin.len() + tenant.len() + plan.len());
    bytes.extend_from_slice(label.as_bytes());
    for text in [origin, tenant, plan] {
        lp(&mut bytes, text.as_bytes());
    }
    bytes
}

/// Decodes fields one after another.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Begins after `label`.
    pub(crate) fn after(label: &str, bytes: &'a [u8]) -> Result<Self, FormatError> {
        bytes.strip_prefix(label.as_bytes()).map(Fields).ok_or(FormatError::Scheme)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], FormatError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(FormatError::Cut { field })?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], FormatError> {
        let length = u32::from_be_bytes(self.array(field)?);
        let cut = FormatError::Cut { field };
        let Ok(length) = usize::try_from(length) else { return Err(cut) };
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(cut)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, FormatError> {
        let bytes = self.bytes(field)?;
        str::from_utf8(bytes).map(str::to_owned).map_err(|_| FormatError::Field { field, rule: "UTF-8" })
    }

    pub(crate) fn end(self) -> Result<(), FormatError> {
        if self.0.is_empty() { Ok(()) } else { Err(FormatError::Excess) }
    }
}
