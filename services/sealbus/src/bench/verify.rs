//! Measures how fast a whole ledger is verified.

use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use sealbus_core::clock::Clock as _;
use sealbus_core::event::{Header, PayloadMode};
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::{KeyKind, Keyring, KeyringText, NewKey, Status};
use sealbus_ledger::append::{Call, Draft, Expect};
use sealbus_ledger::log::{SealingState, Signing};
use sealbus_ledger::schema::bootstrap;
use sealbus_ledger::verification::Scope;
use sealbus_ledger::{ConnectionSettings, Creation, Ledger, create, migrate};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::anchors::{Anchor as _, AnchorFile};
use tokio::process::Command;
use uuid::Uuid;

use super::baseline::output;
use super::percentiles::median;
use super::role::peak_memory_mib;
use crate::failure::Failure;
use crate::output::print;
use crate::wiring;

const ORIGIN: &str = "bench.example/verify";
/// The database of the ledger that is verified, on the same server as the configured one.
const DATABASE: &str = "sealbus_bench_verify";
/// Number of calls in flight while the ledger is filled.
const CALLS_IN_FLIGHT: usize = 16;

/// How long signatures alone are verified in each round.
const SIGNATURE_TIME: Duration = Duration::from_secs(3);
/// How often the peak memory of `sealbus verify` is read.
const MEMORY_POLL_INTERVAL: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of events in the ledger
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Number of plans, over which the events are distributed evenly
    #[arg(long, default_value_t = 1_000)]
    plans: u64,
    /// Size of an event's data, in bytes
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
    /// Kind of the key that seals the events
    #[arg(long, value_enum, default_value_t = Suite::Ed25519)]
    suite: Suite,
    /// Number of rounds, each of both baselines and the verification
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// An hmac key
    Hmac,
    /// An ed25519 key
    Ed25519,
}

/// Fills a ledger. Then it measures, alternately, both baselines and the verification. The baselines are a `COPY` of the rows
/// to `/dev/null`, and strict verification of signatures alone on all processors.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let admin = settings.require(table::ADMIN_DATABASE_URL)?;
    let mut url: reqwest::Url = admin.expose().parse()?;
    url.set_path(DATABASE);
    let url = String::from(url);
    let psql = sealbus_backing::postgres_bin()?.join("psql");
    sql(&psql, admin.expose(), &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
    bootstrap::create_database(admin.expose(), DATABASE, None).await?;
    bootstrap::make_schemas(&url).await?;
    migrate(&url).await?;
    let folder = tempfile::tempdir()?;
    let some_event = fill(&args, &settings, &url, folder.path()).await?;
    sql(&psql, &url, "VACUUM ANALYZE").await?;
    sql(&psql, &url, "CHECKPOINT").await?;

    let (mut copied, mut signatures, mut verified) = (Vec::new(), Vec::new(), Vec::new());
    let events = args.events as f64;
    let mut memory = 0.0_f64;
    for round in 1..=args.rounds {
        let started = Instant::now();
        sql(&psql, &url, "COPY sealbus.events TO '/dev/null'").await?;
        let copy = events / started.elapsed().as_secs_f64();
        let alone = tokio::task::block_in_place(|| strict_verifications(&some_event))?;
        let started = Instant::now();
        memory = memory.max(verify(&url, folder.path()).await?);
        let rate = events / started.elapsed().as_secs_f64();
        print(format_args!(
            "round {round}: COPY {copy:.0}/s, signatures alone {alone:.0}/s, verified {rate:.0} events/s"
        ))?;
        copied.push(copy);
        signatures.push(alone);
        verified.push(rate);
    }
    let (copied, signatures, verified) = (median(copied), median(signatures), median(verified));
    print(format_args!(
        "verify: {verified:.0} events/s, {:.2} of COPY ({copied:.0}/s), {:.2} of strict verifications alone ({signatures:.0}/s); \
         {memory:.0} MiB peak memory",
        verified / copied,
        verified / signatures,
    ))?;
    sql(&psql, admin.expose(), &format!("DROP DATABASE {DATABASE} WITH (FORCE)")).await
}

/// Creates a ledger of these events, all sealed and anchored, with its keyring and anchors in `folder`. Returns the header of one
/// event.
async fn fill(args: &Args, settings: &Settings, url: &str, folder: &Path) -> Result<Header, Failure> {
    let signing_kind = if args.suite == Suite::Hmac { KeyKind::Hmac } else { KeyKind::Ed25519 };
    let mut text = KeyringText::new(new_key(signing_kind)?.keyring())?;
    text.add(&new_key(KeyKind::Log)?);
    std::fs::write(folder.join("keyring.json"), text.as_str())?;
    let keyring = Keyring::parse(text.as_str())?;
    let creation =
        Creation { origin: ORIGIN.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
    create(url, &creation, &keyring).await?;
    let ledger = Ledger::open(url, &wiring::connections(settings, ConnectionSettings::command)).await?;
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(args.bytes.saturating_sub(11)));
    let payload_size = u32::try_from(payload.len()).map_err(|_| Failure::usage("--bytes must be below 4 GiB"))?;
    let batch = 100.min(args.events / args.plans).max(1);
    let calls = (0..args.events / batch).map(|call| Call {
        tenant: Tenant::parse("bench").expect("the name is valid"),
        plan: Plan::parse(&format!("plan-{}", call % args.plans)).expect("the name is valid"),
        expect: Expect::Any,
        events: (0..batch).map(|_| draft(&payload, payload_size)).collect(),
    });
    wiring::with_appender(&ledger, &keyring, settings, async |appender| {
        let answers = stream::iter(calls).map(|call| appender.append(call)).buffer_unordered(CALLS_IN_FLIGHT);
        answers.try_for_each(|_| futures::future::ready(Ok(()))).await
    })
    .await?;

    let signer = LogSigner::new(&keyring, ORIGIN)?;
    let now = SystemClock.unix_seconds();
    let (first, _) = ledger.log().begin(&signer, now).await?;
    let anchors = AnchorFile::new(folder.join("anchors"));
    let anchored = Checkpoint::new(ORIGIN, 0, empty_root())?;
    let mut newest = first;
    loop {
        let signing = Signing { signer: &signer, anchored: &anchored, time: now };
        match ledger.log().seal_batch(10_000, &mut SealingState::default(), Some(signing)).await?.note {
            Some(note) => newest = note,
            None => break,
        }
    }
    anchors.keep(&newest).await?;
    let first = pin!(ledger.history().exported(&Scope::keys())).try_next().await?;
    ledger.close().await;
    let first = first.and_then(|event| event.record.ok());
    first.map(|record| record.header).ok_or_else(|| Failure::new("the ledger has no first event"))
}

fn draft(payload: &str, payload_size: u32) -> Draft {
    Draft {
        event_id: Uuid::now_v7(),
        event_type: "bench.event".into(),
        data_version: 1,
        occurred: None,
        source: String::new(),
        actor: "bench".into(),
        correlation_id: String::new(),
        causation_id: String::new(),
        payload_mode: PayloadMode::Plain,
        payload_size,
        payload_hash: Hash::of(payload.as_bytes()),
        payload: Some(payload.to_owned()),
        encrypted: None,
        metadata: r#"{"sealbus":{"auth":"none"}}"#.into(),
        request: String::new(),
    }
}

/// Runs `sealbus verify --all` as a separate process, and returns its peak memory in MiB.
async fn verify(url: &str, folder: &Path) -> Result<f64, Failure> {
    let mut verifying = Command::new(std::env::current_exe()?)
        .args(["verify", "--all", "--max-age", "1d", "-o", "json"])
        .env_remove("SEALBUS_NATS_URL")
        .env("SEALBUS_ORIGIN", ORIGIN)
        .env("SEALBUS_DATABASE_URL", url)
        .env("SEALBUS_KEYRING", folder.join("keyring.json"))
        .env("SEALBUS_ANCHORS", folder.join("anchors"))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let pid = verifying.id();
    let mut peak = 0.0_f64;
    loop {
        match tokio::time::timeout(MEMORY_POLL_INTERVAL, verifying.wait()).await {
            // The process runs, or ended a moment ago: then its peak is the one that was read last.
            Err(_) => peak = pid.and_then(peak_memory_mib).map_or(peak, |memory| peak.max(memory)),
            Ok(ended) if ended.as_ref().is_ok_and(std::process::ExitStatus::success) => return Ok(peak),
            Ok(ended) => return Err(Failure::new(format!("sealbus verify failed: {ended:?}"))),
        }
    }
}

/// Measures the signatures per second that all processors verify by the strict rules, while they do nothing else.
fn strict_verifications(some_event: &Header) -> Result<f64, Failure> {
    let keyring = Keyring::parse(&new_key(KeyKind::Ed25519)?.keyring())?;
    let signer = keyring.signer()?;
    let header = Header { kid: signer.kid().clone(), ..some_event.clone() };
    let event_hash = header.hash();
    let sig = signer.seal(&header, &event_hash).sig;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let started = Instant::now();
    let count = || {
        let mut verified = 0_u64;
        while started.elapsed() < SIGNATURE_TIME {
            verified += u64::from(keyring.check(&header, &event_hash, &[], &sig).is_ok());
        }
        verified
    };
    let verified: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().expect("verifying signatures does not panic")).sum()
    });
    Ok(verified as f64 / started.elapsed().as_secs_f64())
}

fn new_key(kind: KeyKind) -> Result<NewKey, Failure> {
    Ok(NewKey::new(kind, &*wiring::random_bytes()?, Status::Active)?)
}

async fn sql(psql: &Path, url: &str, statement: &str) -> Result<(), Failure> {
    output(Command::new(psql).args(["-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement])).await.map(drop)
}
