//! Asking a witness to cosign a log's checkpoint (c2sp.org/tlog-witness, add-checkpoint).

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url};
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, CheckpointError};
use sealbus_core::log::note::{Note, Signature, SignatureType, VerifierKey};
use sealbus_core::log::witness::{AddCheckpoint, SIZE_CONTENT_TYPE, parse_size};

/// How much of an answer is read. 64 lines of the longest kind of cosignature, 3.3 KB each, fit in.
const MAX_ANSWER: usize = 1 << 18;

/// How much of a refusal is shown.
const MAX_SAID: usize = 200;

/// One witness, by its URL and the key that is pinned for it. Cloning is cheap and shares its connections.
#[derive(Clone, Debug)]
pub struct WitnessClient {
    url: Url,
    key: VerifierKey,
    http: reqwest::Client,
}

/// A witness's line for a checkpoint, found right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosignature {
    /// The line, for the checkpoint's note.
    pub line: Signature,
    /// When the witness signed, as it says, in seconds since 1970 and not 0. Whether that is too far ahead to count, the
    /// policy's quorum says.
    pub time: u64,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The client cannot be made, or the checkpoint not be asked for.
    #[error("{0}")]
    Usage(String),
    /// The witness was not reached, or its answer did not come to an end in time.
    #[error("no answer from the witness at {url}")]
    Unreachable {
        /// Its URL.
        url: String,
        /// The failure.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The caller could not make the proof from this size.
    #[error("there is no proof of consistency from size {from}")]
    Proof {
        /// The size that the witness cosigned last.
        from: u64,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The witness stands elsewhere, and no proof from there can be given: its tree is larger than the checkpoint's, or it has
    /// moved on once more. A larger one that this log never had is the sign of a ledger that was rolled back.
    #[error("the witness has cosigned size {size} already")]
    Conflict {
        /// The size that it cosigned last, as it says.
        size: u64,
    },
    /// The witness refuses. 422 to a proof that is right says that it knows another history of the log.
    #[error("the witness answers {status}: {says}")]
    Refused {
        /// The HTTP status, none of success.
        status: u16,
        /// The first 200 characters of what it says.
        says: String,
    },
    /// The witness says that it has cosigned, and has not.
    #[error("the witness's answer holds no cosignature: {0}")]
    Unsigned(String),
}

/// What one request came to.
enum Answer {
    Cosigned(Cosignature),
    Conflict(u64),
}

impl WitnessClient {
    /// A client of the witness whose submission prefix is `url`, where it pins `key`, of type 0x04. `timeout` bounds each of
    /// the at most two requests of a call, from the connection to the answer's end. Speaks to nobody yet;
    /// [`WitnessError::Usage`] for a URL that is none and a key of another type.
    pub fn new(url: &str, key: VerifierKey, timeout: Duration) -> Result<Self, WitnessError> {
        let usage = |what: String| WitnessError::Usage(what);
        let mut prefix = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| usage(format!("\"{url}\" is not a URL of the kind https://host")))?;
        if key.signature_type() != SignatureType::Cosignature {
            return Err(usage(format!("{key} is no witness's key: it is not of type 0x04")));
        }
        // Only http and https URLs are let in, and all of those have a path.
        prefix.path_segments_mut().expect("an http URL has a path").pop_if_empty().push("add-checkpoint");
        let http = reqwest::Client::builder()
            .user_agent(concat!("sealbus-client/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| usage(format!("the HTTP client cannot be made: {}", error_chain(&error))))?;
        Ok(Self { url: prefix, key, http })
    }

    /// The key that is pinned.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Asks for a cosignature of the checkpoint `note`.
    ///
    /// `old_size` is what the witness cosigned last, as far as the caller knows, and 0 if it does not know. `prove` gives the
    /// proof of consistency from a size to the checkpoint's, and is called once more where the witness names another size to
    /// prove from; it is never asked for one above the checkpoint's, and for none from 0.
    ///
    /// Of the answer nothing counts but a line of the pinned key that is right; lines of other keys are passed over, and an
    /// answer that is no list of lines, or is longer than 256 KiB, is refused.
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
        match self.ask(&request(old_size).await?).await? {
            Answer::Cosigned(cosignature) => Ok(cosignature),
            Answer::Conflict(other) if other > size || other == old_size => Err(WitnessError::Conflict { size: other }),
            Answer::Conflict(other) => match self.ask(&request(other).await?).await? {
                Answer::Cosigned(cosignature) => Ok(cosignature),
                Answer::Conflict(size) => Err(WitnessError::Conflict { size }),
            },
        }
    }

    async fn ask(&self, request: &AddCheckpoint) -> Result<Answer, WitnessError> {
        let sent = self.http.post(self.url.clone()).body(request.to_string()).send().await;
        let response = sent.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let is_size = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == SIZE_CONTENT_TYPE);
        let body = self.body(response).await?;
        if status == StatusCode::OK {
            let body = body.ok_or_else(|| WitnessError::Unsigned("it is longer than 256 KiB".to_owned()))?;
            return self.cosignature(&body, request.note()).map(Answer::Cosigned);
        }
        let body = body.unwrap_or_default();
        match parse_size(&body) {
            Some(size) if status == StatusCode::CONFLICT && is_size => Ok(Answer::Conflict(size)),
            _ => {
                let says = String::from_utf8_lossy(&body).trim().chars().take(MAX_SAID).collect();
                Err(WitnessError::Refused { status: status.as_u16(), says })
            }
        }
    }

    /// The body; `None` of one that is longer than any answer. What it says of its own length is not believed.
    async fn body(&self, mut response: Response) -> Result<Option<BytesMut>, WitnessError> {
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Ok(None);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Some(body))
    }

    /// The first line of the pinned key that is right.
    fn cosignature(&self, body: &[u8], note: &Note) -> Result<Cosignature, WitnessError> {
        let unsigned = |what: &str| WitnessError::Unsigned(what.to_owned());
        let text = str::from_utf8(body).map_err(|_| unsigned("it is not UTF-8"))?;
        let lines = Signature::parse_lines(text).map_err(|error| WitnessError::Unsigned(error.to_string()))?;
        let right = |line: Signature| {
            let alone = Note::new(note.text().to_owned(), vec![line.clone()]).ok()?;
            let verified = alone.verify(std::slice::from_ref(&self.key)).ok()?;
            let time = verified.first()?.time.filter(|time| *time != 0)?;
            Some(Cosignature { line, time })
        };
        lines.into_iter().find_map(right).ok_or_else(|| unsigned("no line is the pinned key's signature"))
    }

    fn unreachable(&self, error: reqwest::Error) -> WitnessError {
        // The URL is named already, and the library repeats it.
        WitnessError::Unreachable { url: self.url.to_string(), source: error_chain(&error.without_url()).into() }
    }
}
