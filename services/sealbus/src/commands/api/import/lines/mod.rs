//! Reading the lines of a file of events.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use sealbus_core::canonical::{Limits, MAX_DEPTH, read, write};
use sealbus_core::hash::Hash;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Builder;

/// The first bytes of a gzip file.
const GZIP: &[u8] = b"\x1f\x8b";
/// A byte order mark in UTF-8, which some programs write at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The beginning of what is hashed for a derived id.
const ID_LABEL: &[u8] = b"sealbus/import-id/v1\n";

/// Returns the content of a file, which is decompressed if it begins as a gzip file does.
pub(super) fn decompressed(file: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::new(file);
    let is_compressed = file.fill_buf()?.starts_with(GZIP);
    Ok(if is_compressed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// A line that is not empty.
pub(super) struct Line {
    /// Counted from 1; empty lines count too.
    pub number: u64,
    /// Length of the line in bytes.
    pub bytes: usize,
    pub plan: PlanName,
    /// The event, which has an id; or why the line is refused.
    pub event: Result<Value, Refusal>,
}

/// The plan that a line names, as far as it does.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct PlanName {
    #[serde(rename = "tenantid")]
    pub tenant: Option<String>,
    pub subject: Option<String>,
}

/// The reason why a line is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub code: String,
    pub detail: String,
}

/// The lines of a file, without empty ones. They end with an error, which has the line's number, at a line whose plan cannot be
/// told because it cannot be read.
pub(super) struct Lines<R> {
    reader: R,
    max_line_bytes: usize,
    /// The tenant of events that name none.
    tenant: Option<String>,
    number: u64,
    has_failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, max_line_bytes: usize, tenant: Option<String>) -> Self {
        Self { reader, max_line_bytes, tenant, number: 0, has_failed: false }
    }

    /// Reads a line of at most `max_line_bytes`, without the line feed. Returns `None` at the end of the file.
    fn read_line(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        self.number += 1;
        let mut line = Vec::new();
        let limit = self.max_line_bytes as u64 + 1;
        let refuse = |error: io::Error| Refusal { code: "unreadable".to_owned(), detail: error.to_string() };
        if self.reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(refuse)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() > self.max_line_bytes {
            let detail = format!("the line is longer than {} bytes", self.max_line_bytes);
            return Err(Refusal { code: "too_large".to_owned(), detail });
        }
        Ok(Some(line))
    }

    /// Reads the next line that is not empty. Returns `None` at the end of the file.
    fn read_next(&mut self) -> Result<Option<Line>, Refusal> {
        while let Some(line) = self.read_line()? {
            if !line.trim_ascii().is_empty() {
                return self.parse(&line).map(Some);
            }
        }
        Ok(None)
    }

    fn parse(&self, line: &[u8]) -> Result<Line, Refusal> {
        let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let limits = Limits { bytes: self.max_line_bytes, depth: MAX_DEPTH + 1 };
        let (plan, event) = match read(text, limits) {
            Ok(Value::Object(members)) => {
                let members = self.completed(members);
                let member = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
                (PlanName { tenant: member("tenantid"), subject: member("subject") }, Ok(Value::Object(members)))
            }
            Ok(_) => {
                let detail = "a line must be one event, which is a JSON object".to_owned();
                return Err(Refusal { code: "invalid_field".to_owned(), detail });
            }
            Err(error) => {
                let refusal = Refusal { code: error.refusal.code().to_owned(), detail: error.to_string() };
                // The line is JSON that a less strict reader accepts, so that its plan is known.
                let Ok(plan) = serde_json::from_slice(text) else { return Err(refusal) };
                (plan, Err(refusal))
            }
        };
        Ok(Line { number: self.number, bytes: line.len(), plan, event })
    }

    /// Returns an event with an id and, if it names none, with the tenant of the import.
    fn completed(&self, mut members: Map<String, Value>) -> Map<String, Value> {
        if is_absent(&members, "id") {
            members.remove("id");
            let id = derived_id(self.number, &write(&Value::Object(members.clone())));
            members.insert("id".to_owned(), id.into());
        }
        if let (Some(tenant), true) = (&self.tenant, is_absent(&members, "tenantid")) {
            members.insert("tenantid".to_owned(), tenant.as_str().into());
        }
        members
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, (u64, Refusal)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let line = self.read_next().map_err(|refusal| (self.number, refusal));
        self.has_failed = line.is_err();
        line.transpose()
    }
}

/// Returns whether a member is missing or null, which the service does not distinguish.
fn is_absent(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_none_or(Value::is_null)
}

/// Returns the id of an event without one, from the number of its line and the canonical text of the event. A second import
/// of the file finds the events of the first; equal events on different lines stay different events.
fn derived_id(number: u64, canonical: &str) -> String {
    let hash = Hash::of(&[ID_LABEL, &number.to_be_bytes(), canonical.as_bytes()].concat());
    let bytes = hash.as_bytes().first_chunk().expect("a hash has more than 16 bytes");
    Builder::from_custom_bytes(*bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests;
