//! A client for witnesses, which cosign the checkpoints of a log (c2sp.org/tlog-witness, add-checkpoint).

use std::error::Error;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, CheckpointError};
use sealbus_core::log::note::{Note, Signature, SignatureType, VerifierKey};
use sealbus_core::log::witness::{AddCheckpoint, SIZE_CONTENT_TYPE, parse_size};

use crate::client::{http_builder, parse_url};
use crate::transport::read_body;

/// The longest accepted response, in bytes. It has room for 64 cosignatures of the longest kind, 3.3 KB each.
const MAX_RESPONSE_BYTES: usize = 1 << 18;
/// The number of characters of a refusal that an error quotes.
const MAX_MESSAGE_CHARS: usize = 200;

/// A client for one witness, with its URL and its pinned key. Clones are cheap and share connections.
#[derive(Clone, Debug)]
pub struct WitnessClient {
    url: Url,
    key: VerifierKey,
    http: reqwest::Client,
}

/// A witness's verified signature of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosignature {
    /// The signature line, for the checkpoint's note.
    pub line: Signature,
    /// The time at which the witness signed, in seconds since 1970, never 0. It is the witness's claim: the quorum of
    /// the policy decides whether a time in the future counts.
    pub time: u64,
}

/// The reason why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The arguments are not valid; nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// The witness could not be reached, or its response was not complete in time.
    #[error("no answer from the witness at {url}")]
    Unreachable {
        /// The URL of the request.
        url: String,
        /// The error of the HTTP library.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The caller could not prove consistency with the size that the witness cosigned last.
    #[error("no proof of consistency from size {from}")]
    Proof {
        /// The size that the witness cosigned last.
        from: u64,
        /// The caller's error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The witness has cosigned another size, from which no proof can be given: a larger one, or a different one for
    /// the second time. A size that this log never had indicates that the ledger was rolled back.
    #[error("the witness has already cosigned size {size}")]
    Conflict {
        /// The size that the witness claims to have cosigned last.
        size: u64,
    },
    /// The witness refused the checkpoint. Status 422 for a correct proof means that it knows another history of the
    /// log.
    #[error("the witness refused with status {status}: {message}")]
    Refused {
        /// The HTTP status, which is not 200.
        status: u16,
        /// The first 200 characters of the body.
        message: String,
    },
    /// The response has status 200, but contains no valid cosignature.
    #[error("the witness's response contains no cosignature: {0}")]
    Unsigned(String),
}

impl WitnessClient {
    /// Returns a client of the witness with the submission prefix `url` and the key `key`, without connecting yet.
    /// `timeout` limits each of the at most two requests of a call, from connecting to the end of the response.
    ///
    /// # Errors
    /// [`WitnessError::Usage`] if the URL is not valid or the key is not of type 0x04.
    pub fn new(url: &str, key: VerifierKey, timeout: Duration) -> Result<Self, WitnessError> {
        let mut prefix = parse_url(url)
            .ok_or_else(|| WitnessError::Usage(format!("\"{url}\" is not a URL such as https://host")))?;
        if key.signature_type() != SignatureType::Cosignature {
            return Err(WitnessError::Usage(format!("{key} is not the key of a witness: its type is not 0x04")));
        }
        prefix.path_segments_mut().expect("an http URL has a path").pop_if_empty().push("add-checkpoint");
        let http = http_builder()
            .timeout(timeout)
            .build()
            .map_err(|error| WitnessError::Usage(format!("cannot create the HTTP client: {}", error_chain(&error))))?;
        Ok(Self { url: prefix, key, http })
    }

    /// The pinned key.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Requests a cosignature of the checkpoint in `note`.
    ///
    /// `old_size` is the size that the witness cosigned last, or 0 if the caller does not know it. `prove` returns the
    /// proof of consistency from a size to that of the checkpoint. It is called a second time if the witness answers
    /// that it has cosigned another size. It is never called with 0, with the size of the checkpoint, or with a larger
    /// one.
    ///
    /// The response must be a list of signature lines of at most 256 KiB. Lines of other keys than the pinned one are
    /// ignored.
    pub async fn add_checkpoint<F, E>(
        &self,
        old_size: u64,
        prove: impl Fn(u64) -> F,
        note: &Note,
    ) -> Result<Cosignature, WitnessError>
    where
        F: Future<Output = Result<Vec<Hash>, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let checkpoint: Result<Checkpoint, CheckpointError> = note.text().parse();
        let size = checkpoint.map_err(|error| WitnessError::Usage(error.to_string()))?.size();
        if old_size > size {
            return Err(WitnessError::Usage(format!(
                "a checkpoint of size {size} does not continue one of {old_size}"
            )));
        }
        let request = async |from| {
            let proof = if from == 0 || from == size { Ok(Vec::new()) } else { prove(from).await };
            let proof = proof.map_err(|error| WitnessError::Proof { from, source: error.into() })?;
            AddCheckpoint::new(from, proof, note.clone()).map_err(|error| WitnessError::Usage(error.to_string()))
        };
        match self.submit(&request(old_size).await?).await {
            Err(WitnessError::Conflict { size: other }) if other <= size && other != old_size => {
                self.submit(&request(other).await?).await
            }
            outcome => outcome,
        }
    }

    async fn submit(&self, request: &AddCheckpoint) -> Result<Cosignature, WitnessError> {
        let sent = self.http.post(self.url.clone()).body(request.to_string()).send().await;
        let response = sent.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let is_size = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == SIZE_CONTENT_TYPE);
        let body = read_body(response, MAX_RESPONSE_BYTES).await.map_err(|error| self.unreachable(error))?;
        if status == StatusCode::OK {
            let body = body.ok_or_else(|| WitnessError::Unsigned("the body is longer than 256 KiB".to_owned()))?;
            return self.cosignature(&body, request.note());
        }
        let body = body.unwrap_or_default();
        match parse_size(&body) {
            Some(size) if status == StatusCode::CONFLICT && is_size => Err(WitnessError::Conflict { size }),
            _ => {
                let message = String::from_utf8_lossy(&body).trim().chars().take(MAX_MESSAGE_CHARS).collect();
                Err(WitnessError::Refused { status: status.as_u16(), message })
            }
        }
    }

    /// Returns the first valid signature of the pinned key.
    fn cosignature(&self, body: &[u8], note: &Note) -> Result<Cosignature, WitnessError> {
        let unsigned = |what: &str| WitnessError::Unsigned(what.to_owned());
        let text = str::from_utf8(body).map_err(|_| unsigned("the body is not UTF-8"))?;
        let lines = Signature::parse_lines(text).map_err(|error| WitnessError::Unsigned(error.to_string()))?;
        let verified = |line: Signature| {
            let alone = Note::new(note.text().to_owned(), vec![line.clone()]).ok()?;
            let signatures = alone.verify(std::slice::from_ref(&self.key)).ok()?;
            let time = signatures.first()?.time.filter(|time| *time != 0)?;
            Some(Cosignature { line, time })
        };
        lines.into_iter().find_map(verified).ok_or_else(|| unsigned("no line is a valid signature of the pinned key"))
    }

    fn unreachable(&self, error: reqwest::Error) -> WitnessError {
        // The error already names the URL. The library would add it again.
        WitnessError::Unreachable { url: self.url.to_string(), source: error_chain(&error.without_url()).into() }
    }
}
