//! Verifying a ledger, straight from its tables: its notes and tiles, its anchors, then every plan in scope.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealbus_core::clock::Clock as _;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::seal::KeyKind;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{CheckedLog, Notes, Report, Vouched};
use sealbus_ledger::Ledger;
use sealbus_ledger::verification::{Basis, Scope, Verified};
use sealbus_runtime::clock::SystemClock;
use tokio::time::{MissedTickBehavior, interval};

use super::anchors::Anchors;
use super::pins::Pins;
use super::receipts;
use super::resume::Resume;
use crate::failure::Failure;
use crate::output::progress;

/// How often what is waited for is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long waiting goes on while nothing is sealed, or anchored.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked for.
pub(crate) struct Question {
    /// Which plans.
    pub scope: Scope,
    /// Whether to wait until what stands now is anchored, and to pass over what comes later.
    pub wait: bool,
    /// A checkpoint that was verified before: only what came after it is read.
    pub since: Option<PathBuf>,
    /// Where to keep what was done, and to go on from it.
    pub resume: Option<PathBuf>,
    /// Records that must be there.
    pub receipts: Vec<PathBuf>,
    /// How old the newest trusted time may be.
    pub max_age: Duration,
    /// Plans that are read at once, in portions.
    pub workers: usize,
}

impl Question {
    /// What stands now, of these plans, by the newest time of a quarter of an hour ago or later.
    pub(crate) fn of(scope: Scope) -> Self {
        let max_age = Duration::from_mins(15);
        Self { scope, wait: false, since: None, resume: None, receipts: Vec::new(), max_age, workers: 1 }
    }
}

/// What it came to.
pub(crate) struct Answer {
    /// Counts and findings.
    pub report: Report,
    /// The log that events were compared with.
    pub log: Arc<CheckedLog>,
    /// Events that were passed over because they came after the verification began.
    pub later: u64,
}

/// Answers it.
pub(crate) async fn verify(
    ledger: &Ledger,
    pins: &Pins,
    anchors: &Anchors,
    question: &Question,
) -> Result<Answer, Failure> {
    let until = if question.wait { Some(wait(ledger, pins, anchors).await?) } else { None };
    let since = question.since.as_ref().map(|path| Since::read(path, pins)).transpose()?;
    let mut resume = question.resume.as_deref().map(Resume::open).transpose()?;

    let log =
        Arc::new(check_log(ledger, pins, anchors, question, [&since, &resume_point(resume.as_ref(), pins)?]).await?);
    let trust = ledger.verification().trust(&pins.keyring, log.size()).await?;
    let mut basis = Basis::with_log(trust, log.clone());
    basis.until = until;
    // Whoever can open payloads looks into them too.
    basis.opens = Some(pins.keyring.clone()).filter(|keyring| keyring.keys().any(|key| key.kind == KeyKind::Kek));
    basis.since = since.as_ref().map_or(0, |since| since.checkpoint.size());
    let mut report = Report::new(&log);
    let mut done = Verified::default();
    if let Some(resume) = &mut resume {
        done = resume.take_up(&question.scope, &mut basis, &log)?;
        report.vouched = report.vouched.map(|vouched| vouched_below(vouched, basis.limit));
    }
    let basis = Arc::new(basis);

    read_chains(ledger, question, &basis, &mut done, resume.as_mut()).await?;
    if !question.scope.holds_keys() {
        let tell = |keys: Verified| done.findings.extend(keys.findings);
        ledger.verification().verify(&Scope::keys(), &basis, 1, None, tell).await?;
    }
    report.add(ledger.verification().missing_from_queue(&question.scope).await?);
    let receipts = receipts::read(&question.receipts, &basis.trust)?;
    report.add(ledger.verification().missing_events(&receipts).await?);
    for (index, place) in ledger.verification().unclaimed(&question.scope, &basis).await? {
        report.add_unclaimed(index, place.as_ref().map(|(tenant, plan, seq)| (tenant.as_str(), plan.as_str(), *seq)));
    }
    report.events += done.events;
    report.plans += done.plans;
    report.sealed += done.sealed;
    report.unchecked += done.unchecked;
    report.add(done.findings);
    if let Some(resume) = resume {
        resume.finish()?;
    }
    Ok(Answer { report, log, later: done.later })
}

/// Waits until all that stands in the ledger now is sealed and anchored; gives the database's time from before.
async fn wait(ledger: &Ledger, pins: &Pins, anchors: &Anchors) -> Result<Timestamp, Failure> {
    let now = ledger.verification().now().await?;
    if !ledger.log().wait_until_sealed(LOOK, PATIENCE).await? {
        let seconds = PATIENCE.as_secs();
        eprintln!("sealbus: some events got no leaf for {seconds} s: no sealer runs, or their plans are wrong");
    }
    let stands = ledger.log().size().await?;
    let (mut anchored, mut since) = (0, Instant::now());
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let newest = anchors.newest_size(&pins.policy, &pins.origin).await?;
        if newest >= stands {
            return Ok(now);
        }
        if newest > anchored {
            (anchored, since) = (newest, Instant::now());
        } else if since.elapsed() > PATIENCE {
            let seconds = PATIENCE.as_secs();
            eprintln!("sealbus: {newest} of {stands} leaves are anchored, and no more for {seconds} s: no sealer runs");
            return Ok(now);
        }
    }
}

/// A note that is compared with the tree as the anchors are.
struct Since {
    place: String,
    note: Vec<u8>,
    checkpoint: Checkpoint,
}

impl Since {
    fn read(path: &PathBuf, pins: &Pins) -> Result<Self, Failure> {
        let note = fs::read(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Self::of(path.display().to_string(), note, pins)
    }

    fn of(place: String, note: Vec<u8>, pins: &Pins) -> Result<Self, Failure> {
        let wrong = |error: String| Failure::new(format!("{place} is no checkpoint of this log: {error}"));
        let parsed = Note::parse(&note).map_err(|error| wrong(error.to_string()))?;
        let signed = pins.policy.open(&parsed, &pins.origin).map_err(|error| wrong(Failure::from(error).message))?;
        Ok(Self { checkpoint: signed.checkpoint().clone(), place, note })
    }
}

fn resume_point(resume: Option<&Resume>, pins: &Pins) -> Result<Option<Since>, Failure> {
    let Some((place, note)) = resume.and_then(Resume::checkpoint) else { return Ok(None) };
    Since::of(place, note, pins).map(Some)
}

/// The notes and the tree. The anchors are read first: what the database shows after that has to cover them.
async fn check_log(
    ledger: &Ledger,
    pins: &Pins,
    anchors: &Anchors,
    question: &Question,
    known: [&Option<Since>; 2],
) -> Result<CheckedLog, Failure> {
    let now = SystemClock.unix_seconds();
    let mut notes = Notes::new(&pins.policy, &pins.origin, now, Some(question.max_age.as_secs()));
    for (number, note) in anchors.notes().await?.iter().enumerate() {
        notes.anchor(&format!("anchors/{number}"), note);
    }
    for Since { place, note, .. } in known.into_iter().flatten() {
        notes.anchor(place, note);
    }
    if let Some(note) = ledger.log().newest_note().await? {
        notes.checkpoint(note.as_bytes());
    }
    let mut tree = notes.tree();
    ledger.verification().read_tree(&mut tree).await?;
    Ok(notes.with_tree(tree))
}

async fn read_chains(
    ledger: &Ledger,
    question: &Question,
    basis: &Arc<Basis>,
    done: &mut Verified,
    mut resume: Option<&mut Resume>,
) -> Result<(), Failure> {
    let bar = progress(ledger.verification().events_in(&question.scope).await?, "verifying");
    bar.set_position(done.events);
    let (before, behind) = (done.events, done.through.clone());
    let mut kept = Ok(());
    let tell = |portion: Verified| {
        done.absorb(portion);
        if let (Some(resume), true) = (resume.as_mut(), kept.is_ok()) {
            kept = resume.keep(basis, done);
        }
    };
    let reading = ledger.verification().verify(&question.scope, basis, question.workers, behind.as_ref(), tell);
    let moving = async {
        let mut tick = interval(LOOK);
        loop {
            tick.tick().await;
            bar.set_position(before + basis.read());
        }
    };
    tokio::select! {
        read = reading => read?,
        () = moving => {}
    }
    bar.finish_and_clear();
    kept
}

fn vouched_below(vouched: Vouched, limit: u64) -> Vouched {
    Vouched { log_index: vouched.log_index.min(limit.saturating_sub(1)), ..vouched }
}
