//! Verifying a ledger from its tables: its notes and tiles, its anchors, then every plan in scope.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealbus_core::clock::Clock as _;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::seal::KeyKind;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{CheckedLog, Notes, Report};
use sealbus_ledger::Ledger;
use sealbus_ledger::verification::{Basis, Scope, Verified};
use sealbus_runtime::clock::SystemClock;
use tokio::time::sleep;

use super::pins::Pins;
use super::resume::Resume;
use super::{LedgerEvidence, read_receipts};
use crate::failure::{Context as _, Failure};
use crate::output::{notice, progress};

/// How often progress and awaited conditions are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait without any new leaf or anchored checkpoint before the wait is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct VerifyRequest {
    pub scope: Scope,
    /// Whether to wait until every event present now is anchored, and to ignore later events.
    pub wait: bool,
    /// A file with a checkpoint that was verified before; only later events are read.
    pub since: Option<PathBuf>,
    /// A file to save progress to, and to resume from if it exists.
    pub resume: Option<PathBuf>,
    /// Receipts whose events must be present.
    pub receipts: Vec<PathBuf>,
    /// The maximum age of the newest trusted time.
    pub max_age: Duration,
    /// The number of plans that are read in parallel.
    pub workers: usize,
}

pub(crate) struct VerifyOutcome {
    pub report: Report,
    /// The log that events were compared with.
    pub log: Arc<CheckedLog>,
    /// The notes of the anchors, oldest first.
    pub notes: Vec<Vec<u8>>,
    /// Events that were ignored because they were appended after the verification began.
    pub later_events: u64,
}

/// Verifies a ledger. It fails only if something cannot be read, or if the scope holds no event and nothing shows that it once
/// held one: what is wrong with the ledger is a finding of the report.
pub(crate) async fn verify(evidence: &LedgerEvidence, request: &VerifyRequest) -> Result<VerifyOutcome, Failure> {
    let LedgerEvidence { ledger, pins, anchors } = evidence;
    let until = if request.wait { Some(wait_until_anchored(evidence).await?) } else { None };
    let since = request.since.as_deref().map(|path| KnownNote::read(path, pins)).transpose()?;
    let mut resume = request.resume.as_deref().map(Resume::open).transpose()?;
    let resumed = resume.as_ref().and_then(Resume::checkpoint);
    let resumed = resumed.map(|(place, note)| KnownNote::open(place, note, pins)).transpose()?;

    // The anchors are read before the database: what the database shows afterwards has to cover them.
    let anchored = anchors.notes(true).await?;
    let known = since.iter().chain(&resumed);
    let log = Arc::new(check_log(evidence, request.max_age, &anchored.notes, known).await?);
    let mut basis =
        Basis::with_log(ledger.verification().trust(&pins.keyring, log.size(), &request.scope).await?, log.clone());
    basis.until = until;
    // Payloads are opened if the keyring can open them.
    basis.opens = Some(pins.keyring.clone()).filter(|keyring| keyring.keys().any(|key| key.kind == KeyKind::Kek));
    basis.since = since.as_ref().map_or(0, |since| since.checkpoint.size());
    let mut report = Report::new(&log);
    report.anchors = anchored.anchors;
    let mut done = Verified::default();
    if let Some(resume) = &mut resume {
        done = resume.restore(&request.scope, &mut basis, &log)?;
        if let Some(vouched) = &mut report.vouched {
            vouched.log_index = vouched.log_index.min(basis.limit.saturating_sub(1));
        }
    }
    let basis = Arc::new(basis);

    verify_chains(ledger, request, &basis, &mut done, resume.as_mut()).await?;
    if !request.scope.holds_keys() {
        let add_findings = |keys: Verified| done.findings.extend(keys.findings);
        ledger.verification().verify(&Scope::keys(), &basis, 1, None, add_findings).await?;
    }
    report.add(ledger.verification().missing_from_queue(&request.scope).await?);
    let receipts = read_receipts(&request.receipts, &basis.trust)?;
    report.add(ledger.verification().missing_events(&receipts).await?);
    for (index, place) in ledger.verification().unclaimed(&request.scope, &basis).await? {
        report.add_unclaimed(index, place.as_ref().map(|(tenant, plan, seq)| (tenant.as_str(), plan.as_str(), *seq)));
    }
    report.events += done.events;
    report.plans += done.plans;
    report.sealed += done.sealed;
    report.unchecked += done.unchecked;
    report.add(done.findings);
    if !report.has_missing_event() {
        ensure_events(ledger, &request.scope).await?;
    }
    if let Some(resume) = resume {
        resume.finish()?;
    }
    Ok(VerifyOutcome { report, log, notes: anchored.notes, later_events: done.later })
}

/// Waits until every event present now is sealed and anchored. Returns the database's time before the wait.
///
/// If nothing is sealed, or nothing is anchored, for [`STALL_TIMEOUT`], it says so on stderr and returns.
async fn wait_until_anchored(evidence: &LedgerEvidence) -> Result<Timestamp, Failure> {
    let LedgerEvidence { ledger, pins, anchors } = evidence;
    let now = ledger.verification().now().await?;
    let seconds = STALL_TIMEOUT.as_secs();
    if !ledger.log().wait_until_sealed(POLL_INTERVAL, STALL_TIMEOUT).await? {
        notice(format_args!(
            "no event was sealed for {seconds} s, and some are still queued: check that a sealer runs, and its log"
        ));
    }
    let size = ledger.log().size().await?;
    let (mut anchored, mut last_progress) = (0, Instant::now());
    loop {
        let newest = anchors.newest_size(pins).await?;
        if newest >= size {
            return Ok(now);
        }
        if newest > anchored {
            (anchored, last_progress) = (newest, Instant::now());
        } else if last_progress.elapsed() > STALL_TIMEOUT {
            notice(format_args!(
                "no checkpoint was anchored for {seconds} s; {newest} of {size} leaves are anchored: check that a sealer runs"
            ));
            return Ok(now);
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Fails if the ledger has no event in scope.
pub(super) async fn ensure_events(ledger: &Ledger, scope: &Scope) -> Result<(), Failure> {
    if ledger.verification().has_events(scope).await? {
        return Ok(());
    }
    Err(Failure::new(format!("the ledger has no event of {scope}: check the names of tenant and plan")))
}

/// A checkpoint that the verifier has in a file. It is compared with the tree in the same way as the anchors.
struct KnownNote {
    place: String,
    note: Vec<u8>,
    checkpoint: Checkpoint,
}

impl KnownNote {
    fn read(path: &Path, pins: &Pins) -> Result<Self, Failure> {
        let note = fs::read(path).context(path.display())?;
        Self::open(path.display().to_string(), note, pins)
    }

    fn open(place: String, note: Vec<u8>, pins: &Pins) -> Result<Self, Failure> {
        let what = format!("{place} is not a checkpoint of this log");
        let parsed = Note::parse(&note).context(&what)?;
        let signed = pins.policy.open(&parsed, &pins.origin).context(&what)?;
        Ok(Self { checkpoint: signed.checkpoint().clone(), place, note })
    }
}

/// Checks the notes and the tree.
async fn check_log(
    evidence: &LedgerEvidence,
    max_age: Duration,
    anchored: &[Vec<u8>],
    known: impl Iterator<Item = &KnownNote>,
) -> Result<CheckedLog, Failure> {
    let LedgerEvidence { ledger, pins, .. } = evidence;
    let mut notes = Notes::new(&pins.policy, &pins.origin, SystemClock.unix_seconds(), Some(max_age.as_secs()));
    for (number, note) in anchored.iter().enumerate() {
        notes.anchor(&format!("anchors/{number}"), note);
    }
    for KnownNote { place, note, .. } in known {
        notes.anchor(place, note);
    }
    if let Some(note) = ledger.log().newest_note().await? {
        notes.checkpoint(note.as_bytes());
    }
    let mut tree = notes.tree();
    ledger.verification().read_tree(&mut tree).await?;
    Ok(notes.with_tree(tree))
}

/// Verifies the chains in scope, adds the result to `done`, and saves progress.
async fn verify_chains(
    ledger: &Ledger,
    request: &VerifyRequest,
    basis: &Arc<Basis>,
    done: &mut Verified,
    mut resume: Option<&mut Resume>,
) -> Result<(), Failure> {
    let bar = progress(ledger.verification().events_in(&request.scope).await?, "verifying");
    bar.set_position(done.events);
    let (events_before, after_plan) = (done.events, done.through.clone());
    let mut saved = Ok(());
    let on_portion = |portion: Verified| {
        done.absorb(portion);
        if let (Some(resume), true) = (resume.as_mut(), saved.is_ok()) {
            saved = resume.save(basis, done);
        }
    };
    let verifying =
        ledger.verification().verify(&request.scope, basis, request.workers, after_plan.as_ref(), on_portion);
    let moving_bar = async {
        loop {
            sleep(POLL_INTERVAL).await;
            bar.set_position(events_before + basis.read());
        }
    };
    tokio::select! {
        verified = verifying => verified?,
        () = moving_bar => {}
    }
    bar.finish_and_clear();
    saved
}
