//! The responses of the witness's HTTP server (c2sp.org/tlog-witness).

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
use sealbus_runtime::memory::Budget;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{
    CompleteResponse, Log, ORIGIN, OTHER, Place, Server, TIME, fork, key, keyring, log, verifier_key,
};

/// Verifies the cosignature of a checkpoint in a response, and returns its time.
fn cosignature_time(answer: &CompleteResponse, checkpoint: &Checkpoint) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = Signature::parse_lines(&answer.body).unwrap();
    let note = Note::new(checkpoint.to_string(), lines).unwrap();
    let verified = note.verify(&[verifier_key()]).unwrap();
    assert_eq!(verified.len(), 1, "{answer:?}");
    verified[0].time.unwrap()
}

#[tokio::test]
async fn a_checkpoint_with_a_proof_is_stored_and_cosigned() {
    let place = Place::begun();
    let server = place.serve().await;
    let log = log();
    for (step, (old, size)) in (1..).zip([(0, 0), (0, 1), (1, 1), (1, 7), (7, 300), (300, 300), (300, 301)]) {
        place.clock.set(TIME + step);
        let answer = server.submit(&log.request(old, size)).await;
        assert_eq!(cosignature_time(&answer, &log.checkpoint(size)), TIME + step, "{old} to {size}");
        assert_eq!(
            place.note().text(),
            log.checkpoint(size).to_string(),
            "the checkpoint was not stored when it was answered"
        );
    }
    let metrics = server.metrics();
    assert!(metrics.contains("sealbus_witness_answers_total{status=\"200\"} 7\n"), "{metrics}");
    assert!(metrics.contains(&format!("sealbus_witness_size{{origin=\"{ORIGIN}\"}} 301\n")), "{metrics}");
    assert!(
        metrics.contains(&format!("sealbus_witness_time_seconds{{origin=\"{ORIGIN}\"}} {}\n", TIME + 7)),
        "{metrics}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_time_of_cosignatures_never_decreases() {
    let place = Place::begun();
    let server = place.serve().await;
    place.clock.set(TIME + 500);
    assert_eq!(cosignature_time(&server.submit(&log().request(0, 1)).await, &log().checkpoint(1)), TIME + 500);

    // The clock goes back.
    place.clock.set(TIME);
    assert_eq!(cosignature_time(&server.submit(&log().request(1, 2)).await, &log().checkpoint(2)), TIME + 500);

    // The witness is restarted, and the clock catches up.
    server.stop().await.unwrap();
    let server = place.serve().await;
    assert_eq!(cosignature_time(&server.submit(&log().request(2, 3)).await, &log().checkpoint(3)), TIME + 500);
    place.clock.set(TIME + 501);
    assert_eq!(cosignature_time(&server.submit(&log().request(3, 4)).await, &log().checkpoint(4)), TIME + 501);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn each_refusal_has_its_status_and_changes_nothing() {
    let place = Place::begun();
    let server = place.serve().await;
    assert_eq!(server.submit(&log().request(0, 7)).await.status, 200);
    let stored = place.note();
    let note = |size| log().note(size);
    let request = |old, proof, note| AddCheckpoint::new(old, proof, note).unwrap();
    let status = async |request: AddCheckpoint| server.submit(&request).await.status;

    assert_eq!(status(Log::new(OTHER, "").request(0, 7)).await, 404, "a log that the policy does not name");
    let stranger = LogSigner::new(&keyring(&[key(KeyKind::Log, 9, "active")]), ORIGIN).unwrap();
    let strangers = stranger.sign(&log().checkpoint(9), TIME).unwrap();
    assert_eq!(status(request(7, log().proof(7, 9), strangers)).await, 403, "a note that the log did not sign");
    let forged = Note::new(log().checkpoint(9).to_string(), note(8).signatures().to_vec()).unwrap();
    assert_eq!(status(request(7, log().proof(7, 9), forged)).await, 403, "the log's signature of another checkpoint");
    assert_eq!(status(request(9, vec![], note(8))).await, 400, "an old size above the new one");
    assert_eq!(status(request(7, log().proof(6, 9), note(9))).await, 422, "the proof of another size");
    assert_eq!(status(request(7, vec![], note(9))).await, 422, "no proof");
    assert_eq!(status(fork().request(7, 9)).await, 422, "another history, with a valid proof in it");
    assert!(!place.file(ORIGIN, "fork").exists(), "a proof that anyone can send was kept as evidence");
    assert_eq!(status(fork().request(7, 7)).await, 422, "another history of the same size");
    for (old, size) in [(0, 5), (5, 7), (0, 9), (6, 9), (0, 0), (3, 3)] {
        let answer = server.submit(&log().request(old, size)).await;
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
    assert_eq!(server.submit(&log().request(7, 9)).await.status, 200, "a valid request after the refusals");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn both_notes_of_two_trees_of_the_same_size_are_kept() {
    let place = Place::begun();
    let server = place.serve().await;
    assert_eq!(server.submit(&log().request(0, 7)).await.status, 200);
    assert_eq!(server.submit(&fork().request(7, 7)).await.status, 422);
    let third = Log::new(ORIGIN, " of a third history");
    assert_eq!(server.submit(&third.request(7, 7)).await.status, 422);
    let kept = Note::parse(&std::fs::read(place.file(ORIGIN, "fork")).unwrap()).unwrap();
    let pinned = [log().signer.verifier_key()];
    let open = |note: &Note| SignedCheckpoint::open(note, ORIGIN, &pinned).unwrap().checkpoint().clone();
    assert_eq!(open(&kept), fork().checkpoint(7), "later evidence replaced the first");
    assert_eq!(open(&place.note()), log().checkpoint(7), "the cosigned note changed");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn only_signatures_of_the_log_and_the_witness_are_stored() {
    let place = Place::begun();
    let server = place.serve().await;
    let note = log().note(7);
    let stranger = LogSigner::new(&keyring(&[key(KeyKind::Log, 9, "active")]), OTHER).unwrap();
    let strangers = stranger.sign(&Log::new(OTHER, "").checkpoint(7), TIME).unwrap();
    // Repeat the lines up to the maximum of a note. There is no room for the witness's.
    let lines: Vec<Signature> =
        note.signatures().iter().chain(strangers.signatures()).cycle().take(64).cloned().collect();
    let full = AddCheckpoint::new(0, vec![], Note::new(note.text().to_owned(), lines).unwrap()).unwrap();
    assert_eq!(server.submit(&full).await.status, 200);
    let names: Vec<String> = place.note().signatures().iter().map(|line| line.name().to_owned()).collect();
    assert_eq!(names, [ORIGIN, ORIGIN, support::NAME]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_histories_requested_concurrently_only_one_is_cosigned() {
    for _ in 0..10 {
        let place = Place::begun();
        let server = Arc::new(place.serve().await);
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..32 {
            let (server, log) = (Arc::clone(&server), if number % 2 == 0 { log() } else { fork() });
            requests.spawn(async move { (server.submit(&log.request(0, 5)).await, log.checkpoint(5)) });
        }
        let answers = requests.join_all().await;
        let (cosigned, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(answer, _)| answer.status == 200);
        assert_eq!(cosigned.len(), 1, "{cosigned:?}");
        assert!(refused.iter().all(|(answer, _)| answer.status == 409 && answer.body == "5\n"), "{refused:?}");
        cosignature_time(&cosigned[0].0, &cosigned[0].1);
        assert_eq!(place.note().text(), cosigned[0].1.to_string());
        Arc::into_inner(server).unwrap().stop().await.unwrap();
    }
}

/// Sends random bytes, random requests, and valid requests with one damaged byte.
#[test]
fn no_body_causes_a_server_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::begun();
    let server = runtime.block_on(place.serve());
    let valid = log().request(0, 7).to_string().into_bytes();
    let damaged = (any::<Index>(), any::<u8>(), 0..3).prop_map(move |(index, byte, change)| {
        let mut bytes = valid.clone();
        let index = index.index(bytes.len());
        match change {
            0 => bytes[index] = byte,
            1 => bytes.insert(index, byte),
            _ => drop(bytes.remove(index)),
        }
        bytes
    });
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000),
        "old [0-9]{1,20}\n(.*\n){0,8}\n(.*\n){0,8}\n— .*".prop_map(String::into_bytes),
        damaged
    ];
    let result = TestRunner::default().run(&bodies, |body| {
        let answer = runtime.block_on(server.post(body));
        prop_assert!(answer.status < 500, "{:?}", answer);
        Ok(())
    });
    result.unwrap();
    runtime.block_on(server.stop()).unwrap();
}

/// Opens a connection and sends the beginning of a request.
async fn send_slowly(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /add-checkpoint HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nold";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn slow_bodies_hold_up_nobody() {
    let place = Place::begun();
    let server = Server::start(place.open().unwrap(), |config| config.max_decisions = 1).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(send_slowly(&server).await);
    }
    // The only place is free as long as no body is complete.
    assert_eq!(server.submit(&log().request(0, 7)).await.status, 200);
    drop(slow);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_body_is_refused_after_the_timeout() {
    let place = Place::begun();
    let server = Server::start(place.open().unwrap(), |config| config.body_timeout = Duration::from_millis(50)).await;
    let (mut slow, mut answer) = (send_slowly(&server).await, String::new());
    tokio::time::timeout(support::LONG, slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_without_memory_is_refused_as_overload() {
    let place = Place::begun();
    let (memory, peer) = (Budget::new("tests", 64 << 10), "127.0.0.1");
    let server = Server::start(place.open().unwrap(), |config| {
        config.memory = memory.clone();
        config.memory_timeout = Duration::from_millis(50);
        config.body_timeout = support::LONG;
    })
    .await;
    let held = memory.try_reserve(peer, 32 << 10).unwrap();
    let refused = server.submit(&log().request(0, 7)).await;
    assert_eq!((refused.status, refused.body.as_str()), (503, "too many requests at the same time\n"));
    drop(held);
    assert_eq!(server.submit(&log().request(0, 7)).await.status, 200);
    server.stop().await.unwrap();
}
