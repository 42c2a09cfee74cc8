//! What the witness answers over HTTP, by c2sp.org/tlog-witness.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use sealbus_core::log::note::{Note, Signature};
use sealbus_core::log::signer::LogSigner;
use sealbus_core::log::witness::AddCheckpoint;
use sealbus_core::seal::KeyKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Log, ORIGIN, OTHER, Place, Server, TIME, fork, key, keyring, log, verifier_key};

/// When the witness says that it signed this checkpoint; the line has to be right.
fn time(answer: &support::Answer, checkpoint: &Checkpoint) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = Signature::parse_lines(&answer.body).unwrap();
    let note = Note::new(checkpoint.to_string(), lines).unwrap();
    let verified = note.verify(&[verifier_key()]).unwrap();
    assert_eq!(verified.len(), 1, "{answer:?}");
    verified[0].time.unwrap()
}

#[tokio::test]
async fn growth_that_is_proven_is_cosigned() {
    let place = Place::begun();
    let server = place.serve().await;
    let log = log();
    for (step, (old, size)) in (1..).zip([(0, 0), (0, 1), (1, 1), (1, 7), (7, 300), (300, 300), (300, 301)]) {
        place.clock.set(TIME + step);
        let answer = server.ask(&log.request(old, size)).await;
        assert_eq!(time(&answer, &log.checkpoint(size)), TIME + step, "{old} to {size}");
        assert_eq!(place.note().text(), log.checkpoint(size).to_string(), "it is stored by when it is answered");
    }
    let numbers = server.numbers();
    assert!(numbers.contains("sealbus_witness_answers_total{status=\"200\"} 7\n"), "{numbers}");
    assert!(numbers.contains(&format!("sealbus_witness_size{{origin=\"{ORIGIN}\"}} 301\n")), "{numbers}");
    assert!(
        numbers.contains(&format!("sealbus_witness_time_seconds{{origin=\"{ORIGIN}\"}} {}\n", TIME + 7)),
        "{numbers}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn cosignatures_are_never_dated_back() {
    let place = Place::begun();
    let server = place.serve().await;
    place.clock.set(TIME + 500);
    assert_eq!(time(&server.ask(&log().request(0, 1)).await, &log().checkpoint(1)), TIME + 500);
    place.clock.set(TIME);
    assert_eq!(time(&server.ask(&log().request(1, 2)).await, &log().checkpoint(2)), TIME + 500);
    server.stop().await.unwrap();
    let server = place.serve().await;
    assert_eq!(time(&server.ask(&log().request(2, 3)).await, &log().checkpoint(3)), TIME + 500);
    place.clock.set(TIME + 501);
    assert_eq!(time(&server.ask(&log().request(3, 4)).await, &log().checkpoint(4)), TIME + 501);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn each_refusal_has_its_status_and_changes_nothing() {
    let place = Place::begun();
    let server = place.serve().await;
    assert_eq!(server.ask(&log().request(0, 7)).await.status, 200);
    let stored = place.note();
    let note = |size| log().note(size);
    let request = |old, proof, note| AddCheckpoint::new(old, proof, note).unwrap();
    let refused = async |request: AddCheckpoint| server.ask(&request).await.status;

    assert_eq!(refused(Log::new(OTHER, "").request(0, 7)).await, 404, "a log that no policy names");
    let stranger = LogSigner::new(&keyring(&[key(KeyKind::Log, 9, "active")]), ORIGIN).unwrap();
    let strangers = stranger.sign(&log().checkpoint(9), TIME).unwrap();
    assert_eq!(refused(request(7, log().proof(7, 9), strangers)).await, 403, "not signed by the log");
    let forged = Note::new(log().checkpoint(9).to_string(), note(8).signatures().to_vec()).unwrap();
    assert_eq!(refused(request(7, log().proof(7, 9), forged)).await, 403, "signed, but not this");
    assert_eq!(refused(request(9, vec![], note(8))).await, 400, "an old size above the new one");
    assert_eq!(refused(request(7, log().proof(6, 9), note(9))).await, 422, "another proof");
    assert_eq!(refused(request(7, vec![], note(9))).await, 422, "no proof");
    assert_eq!(refused(fork().request(7, 9)).await, 422, "another history, with a proof that holds in it");
    assert!(!place.file(ORIGIN, "fork").exists(), "which anybody can have sent");
    assert_eq!(refused(fork().request(7, 7)).await, 422, "another history of the same size");
    for (old, size) in [(0, 5), (5, 7), (0, 9), (6, 9), (0, 0), (3, 3)] {
        let answer = server.ask(&log().request(old, size)).await;
        let conflict = (409, "text/x.tlog.size", "7\n");
        assert_eq!((answer.status, answer.content_type.as_str(), answer.body.as_str()), conflict, "{old} to {size}");
    }
    assert_eq!(server.post("").await.status, 400);
    assert_eq!(server.post("old 7\n\nno note").await.status, 400);
    assert_eq!(server.post(vec![b'x'; AddCheckpoint::MAX_BYTES]).await.status, 400);
    assert_eq!(server.post(vec![b'x'; AddCheckpoint::MAX_BYTES + 1]).await.status, 413);
    assert_eq!(reqwest::get(format!("{}/add-checkpoint", server.url)).await.unwrap().status(), 405);
    assert_eq!(reqwest::get(format!("{}/metrics", server.url)).await.unwrap().status(), 404);

    assert_eq!(place.note(), stored);
    assert_eq!(server.ask(&log().request(7, 9)).await.status, 200, "and the log goes on");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_log_that_signs_two_trees_of_one_size_has_both_kept() {
    let place = Place::begun();
    let server = place.serve().await;
    assert_eq!(server.ask(&log().request(0, 7)).await.status, 200);
    assert_eq!(server.ask(&fork().request(7, 7)).await.status, 422);
    let third = Log::new(ORIGIN, " of a third history");
    assert_eq!(server.ask(&third.request(7, 7)).await.status, 422);
    let kept = Note::parse(&std::fs::read(place.file(ORIGIN, "fork")).unwrap()).unwrap();
    let pinned = [log().signer.verifier_key()];
    let open = |note: &Note| SignedCheckpoint::open(note, ORIGIN, &pinned).unwrap().checkpoint().clone();
    assert_eq!(open(&kept), fork().checkpoint(7), "the first is kept");
    assert_eq!(open(&place.note()), log().checkpoint(7), "and the log's signature of what was cosigned");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_else_stands_on_a_note_is_not_kept() {
    let place = Place::begun();
    let server = place.serve().await;
    let note = log().note(7);
    let stranger = LogSigner::new(&keyring(&[key(KeyKind::Log, 9, "active")]), OTHER).unwrap();
    let strangers = stranger.sign(&Log::new(OTHER, "").checkpoint(7), TIME).unwrap();
    // Each line as often as a note may hold it: with the witness's own there would be one too many.
    let lines: Vec<Signature> =
        note.signatures().iter().chain(strangers.signatures()).cycle().take(64).cloned().collect();
    let crowded = AddCheckpoint::new(0, vec![], Note::new(note.text().to_owned(), lines).unwrap()).unwrap();
    assert_eq!(server.ask(&crowded).await.status, 200);
    let names: Vec<String> = place.note().signatures().iter().map(|line| line.name().to_owned()).collect();
    assert_eq!(names, [ORIGIN, ORIGIN, support::NAME]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_histories_that_come_at_once_one_is_cosigned() {
    for _ in 0..10 {
        let place = Place::begun();
        let server = Arc::new(place.serve().await);
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..32 {
            let (server, log) = (Arc::clone(&server), if number % 2 == 0 { log() } else { fork() });
            asking.spawn(async move { (server.ask(&log.request(0, 5)).await, log.checkpoint(5)) });
        }
        let answers = asking.join_all().await;
        let (cosigned, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(answer, _)| answer.status == 200);
        assert_eq!(cosigned.len(), 1);
        assert!(refused.iter().all(|(answer, _)| answer.status == 409 && answer.body == "5\n"), "{refused:?}");
        time(&cosigned[0].0, &cosigned[0].1);
        assert_eq!(place.note().text(), cosigned[0].1.to_string());
        Arc::into_inner(server).unwrap().stop().await.unwrap();
    }
}

/// Whatever comes in is the caller's fault. Half of it is a right request with a byte put elsewhere.
#[test]
fn no_body_is_the_witness_s_fault() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::begun();
    let server = runtime.block_on(place.serve());
    let right = log().request(0, 7).to_string().into_bytes();
    let damaged = (any::<Index>(), any::<u8>(), 0..3).prop_map(move |(at, byte, how)| {
        let mut bytes = right.clone();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        bytes
    });
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000),
        "old [0-9]{1,20}\n(.*\n){0,8}\n(.*\n){0,8}\n— .*".prop_map(String::into_bytes),
        damaged
    ];
    let asked = TestRunner::default().run(&bodies, |body| {
        let answer = runtime.block_on(server.post(body));
        prop_assert!(answer.status < 500, "{:?}", answer);
        Ok(())
    });
    asked.unwrap();
    runtime.block_on(server.stop()).unwrap();
}

#[tokio::test]
async fn callers_who_dawdle_are_not_waited_for() {
    let place = Place::begun();
    let short =
        |config: &mut sealbus_witness::Config| (config.body_time, config.bodies) = (Duration::from_millis(500), 1);
    let server = Server::start(place.open().unwrap(), short).await;
    let half = async || {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        let head = "POST /add-checkpoint HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nold";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(support::LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    let (one, other) = tokio::join!(half(), half());
    assert!(one.starts_with("HTTP/1.1 408") || other.starts_with("HTTP/1.1 408"), "{one}\n{other}");
    for answer in [one, other] {
        assert!(answer.starts_with("HTTP/1.1 408") || answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    assert_eq!(server.ask(&log().request(0, 7)).await.status, 200, "and the place is free again");
    server.stop().await.unwrap();
}
