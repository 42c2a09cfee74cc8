//! The client, against the witness and against servers that are none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sealbus_client::{WitnessClient, WitnessError};
use sealbus_core::hash::Hash;
use sealbus_core::log::note::{Note, SignatureType};
use sealbus_core::log::signer::WitnessSigner;
use sealbus_core::seal::KeyKind;

use crate::support::{Log, NAME, Place, TIME, client, fork, key, keyring, log, verifier_key, witness_keys};

type Unproven = Box<dyn Error + Send + Sync>;

/// Asks for a checkpoint of this log, from 0 unless the witness says otherwise.
async fn ask(
    client: &WitnessClient,
    log: &Log,
    old: u64,
    size: u64,
) -> Result<sealbus_client::Cosignature, WitnessError> {
    client.add_checkpoint(old, async |from| Ok::<_, Infallible>(log.proof(from, size)), &log.note(size)).await
}

#[tokio::test]
async fn a_log_that_grows_is_cosigned_from_wherever_the_witness_stands() {
    let place = Place::begun();
    let server = place.serve().await;
    let client = server.client();
    for (old, size) in [(5, 7), (7, 300), (0, 301), (7, 302), (302, 302), (0, 302)] {
        let cosignature = ask(&client, &log(), old, size).await.unwrap();
        assert_eq!(cosignature.time, TIME);
        let lines = [log().note(size).signatures(), &[cosignature.line]].concat();
        let note = Note::new(log().note(size).text().to_owned(), lines).unwrap();
        assert_eq!(note.verify(&[verifier_key()]).unwrap().len(), 1);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_call_can_be_made_in_a_task() {
    let place = Place::begun();
    let server = place.serve().await;
    let client = Arc::new(server.client());
    let asking = tokio::spawn(async move {
        let log = log();
        let proof = |from| {
            let proof = log.proof(from, 7);
            async move { Ok::<_, Infallible>(proof) }
        };
        client.add_checkpoint(0, proof, &log.note(7)).await
    });
    asking.await.unwrap().unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let place = Place::begun();
    let server = place.serve().await;
    let client = server.client();
    ask(&client, &log(), 0, 7).await.unwrap();
    // A log that was rolled back, and one that was rewritten.
    assert!(matches!(ask(&client, &log(), 0, 5).await, Err(WitnessError::Conflict { size: 7 })));
    assert!(matches!(ask(&client, &fork(), 0, 9).await, Err(WitnessError::Refused { status: 422, .. })));
    assert!(matches!(ask(&client, &fork(), 7, 7).await, Err(WitnessError::Refused { status: 422, .. })));
    let error = ask(&client, &Log::new(support::OTHER, ""), 0, 5).await.unwrap_err();
    assert_eq!(error.to_string(), "the witness refused with status 404: unknown log origin");
    assert!(matches!(ask(&client, &log(), 9, 7).await, Err(WitnessError::Usage(_))));

    let unproven = async |_| Err::<Vec<Hash>, Unproven>("a tile is missing".into());
    let error = client.add_checkpoint(0, unproven, &log().note(9)).await.unwrap_err();
    assert!(matches!(error, WitnessError::Proof { from: 7, .. }), "{error}");
    let too_long = async |_| Ok::<_, Unproven>(vec![Hash::of(b""); 64]);
    assert!(matches!(client.add_checkpoint(7, too_long, &log().note(9)).await, Err(WitnessError::Usage(_))));
    let no_checkpoint = Note::new("a text\n".to_owned(), log().note(7).signatures().to_vec()).unwrap();
    let proof = async |_| Ok::<_, Unproven>(vec![]);
    assert!(matches!(client.add_checkpoint(0, proof, &no_checkpoint).await, Err(WitnessError::Usage(_))));
    server.stop().await.unwrap();
    assert!(matches!(ask(&client, &log(), 7, 9).await, Err(WitnessError::Unreachable { .. })));
}

#[test]
fn a_client_is_of_a_witness() {
    for url in ["", "witness.test", "ftp://witness.test", "unix:/run/witness"] {
        assert!(matches!(WitnessClient::new(url, verifier_key(), support::LONG), Err(WitnessError::Usage(_))), "{url}");
    }
    let other = verifier_key().with_type(SignatureType::Ed25519);
    assert!(matches!(WitnessClient::new("https://witness.test", other, support::LONG), Err(WitnessError::Usage(_))));
}

/// A server that answers whatever is asked in the same way, and the number of times that it was asked.
async fn liar(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let router = Router::new().route(
        "/under/a/prefix/add-checkpoint",
        axum::routing::post(move || {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(answer())
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/under/a/prefix/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

/// What the client makes of an answer with status 200.
async fn made_of(body: impl Into<String>) -> Result<u64, WitnessError> {
    let body = body.into();
    let (url, _) = liar(move || body.clone().into_response()).await;
    ask(&client(&url), &log(), 0, 7).await.map(|cosignature| cosignature.time)
}

fn unsigned(outcome: &Result<u64, WitnessError>) -> bool {
    matches!(outcome, Err(WitnessError::Unsigned(_)))
}

#[tokio::test]
async fn nothing_counts_but_a_right_line_of_the_pinned_key() {
    let witness = WitnessSigner::new(&witness_keys(), NAME).unwrap();
    let right = witness.cosign(&log().checkpoint(7), 1_001).to_string();
    let of_another_tree = witness.cosign(&log().checkpoint(8), 1_001).to_string();
    let at_no_time = witness.cosign(&log().checkpoint(7), 0).to_string();
    let stranger = WitnessSigner::new(&keyring(&[key(KeyKind::Witness, 9, "active")]), NAME).unwrap();
    let strangers = stranger.cosign(&log().checkpoint(7), 1_001).to_string();
    let of_another_name = WitnessSigner::new(&witness_keys(), "witness.test/v").unwrap();
    let of_another_name = of_another_name.cosign(&log().checkpoint(7), 1_001).to_string();

    assert_eq!(made_of(right.clone()).await.unwrap(), 1_001);
    let later = witness.cosign(&log().checkpoint(7), 2_002).to_string();
    assert_eq!(made_of(format!("{strangers}{of_another_name}{right}{later}")).await.unwrap(), 1_001);
    // A line by the key that is wrong takes nothing from one that is right.
    assert_eq!(made_of(format!("{of_another_tree}{at_no_time}{right}")).await.unwrap(), 1_001);
    for wrong in
        [&of_another_tree, &at_no_time, &strangers, &of_another_name, &log().note(7).signatures()[0].to_string()]
    {
        assert!(unsigned(&made_of(wrong.as_str()).await), "{wrong}");
    }
    for wrong in [
        String::new(),
        "\n".to_owned(),
        "cosigned\n".to_owned(),
        right.trim_end().to_owned(),
        format!("{right}\n"),
        format!("\n{right}"),
        format!("{right}thank you\n"),
        format!("{}{right}", strangers.repeat(64)),
        format!("{}\n{right}", log().checkpoint(7)),
    ] {
        assert!(unsigned(&made_of(wrong.clone()).await), "{wrong:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_not_read_to_its_end() {
    let line = || WitnessSigner::new(&witness_keys(), NAME).unwrap().cosign(&log().checkpoint(7), 1_001).to_string();
    let endless = move |status: StatusCode| {
        let pieces = repeated(line());
        (status, Body::from_stream(pieces)).into_response()
    };
    let (url, _) = liar(move || endless(StatusCode::OK)).await;
    assert!(matches!(ask(&client(&url), &log(), 0, 7).await, Err(WitnessError::Unsigned(_))));
    let (url, _) = liar(move || endless(StatusCode::IM_A_TEAPOT)).await;
    assert!(matches!(ask(&client(&url), &log(), 0, 7).await, Err(WitnessError::Refused { status: 418, .. })));
    // One that says it is longer than it is breaks off.
    let (url, _) = liar(move || ([(CONTENT_LENGTH, "99999")], line()).into_response()).await;
    assert!(matches!(ask(&client(&url), &log(), 0, 7).await, Err(WitnessError::Unreachable { .. })));
}

/// The same text for ever.
fn repeated(text: String) -> impl futures::Stream<Item = Result<String, Infallible>> {
    futures::stream::repeat_with(move || Ok(text.clone()))
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let never = || Body::from_stream(futures::stream::pending::<Result<String, Infallible>>()).into_response();
    let (url, asked) = liar(never).await;
    let client = WitnessClient::new(&url, verifier_key(), Duration::from_millis(50)).unwrap();
    let outcome = tokio::time::timeout(support::LONG, ask(&client, &log(), 0, 7)).await.expect("it gives up");
    assert!(matches!(outcome, Err(WitnessError::Unreachable { .. })));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_conflict_is_believed_once() {
    let conflict = |body: &'static str| {
        let size = HeaderValue::from_static("text/x.tlog.size");
        move || (StatusCode::CONFLICT, HeaderMap::from_iter([(CONTENT_TYPE, size.clone())]), body).into_response()
    };
    let outcome = async |old, body: &'static str| {
        let (url, asked) = liar(conflict(body)).await;
        let outcome = ask(&client(&url), &log(), old, 7).await;
        (outcome.unwrap_err(), asked.load(Ordering::SeqCst))
    };
    assert!(
        matches!(outcome(0, "3\n").await, (WitnessError::Conflict { size: 3 }, 2)),
        "it stands at 3, and then does not"
    );
    assert!(matches!(outcome(3, "3\n").await, (WitnessError::Conflict { size: 3 }, 1)), "it stands where it was told");
    assert!(matches!(outcome(0, "8\n").await, (WitnessError::Conflict { size: 8 }, 1)), "it has seen more");
    for (other, _) in [outcome(0, "").await, outcome(0, "03\n").await, outcome(0, "3").await, outcome(0, "-3\n").await]
    {
        assert!(matches!(other, WitnessError::Refused { status: 409, .. }), "{other}");
    }
    // Of another type it is a refusal without a size.
    let (url, asked) = liar(|| (StatusCode::CONFLICT, "3\n").into_response()).await;
    assert!(matches!(ask(&client(&url), &log(), 0, 7).await, Err(WitnessError::Refused { status: 409, .. })));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // And of another status it is no conflict.
    let size = [(CONTENT_TYPE, "text/x.tlog.size")];
    let (url, asked) = liar(move || (StatusCode::UNPROCESSABLE_ENTITY, size.clone(), "3\n").into_response()).await;
    assert!(matches!(ask(&client(&url), &log(), 0, 7).await, Err(WitnessError::Refused { status: 422, .. })));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let place = Place::begun();
    let server = place.serve().await;
    let elsewhere = HeaderValue::from_str(&format!("{}/add-checkpoint", server.url)).unwrap();
    let (url, _) =
        liar(move || (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, elsewhere.clone())]).into_response()).await;
    assert!(matches!(ask(&client(&url), &log(), 0, 7).await, Err(WitnessError::Refused { status: 307, .. })));
    server.stop().await.unwrap();
}
