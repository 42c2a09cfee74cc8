//! The client for witnesses, with the witness and with servers that violate the protocol.

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

/// Requests a cosignature of a log at `size`, on the assumption that the witness has cosigned it at `old`.
async fn add_checkpoint(
    client: &WitnessClient,
    log: &Log,
    old: u64,
    size: u64,
) -> Result<sealbus_client::Cosignature, WitnessError> {
    client.add_checkpoint(old, async |from| Ok::<_, Infallible>(log.proof(from, size)), &log.note(size)).await
}

#[tokio::test]
async fn a_wrong_assumption_about_the_cosigned_size_is_corrected() {
    let place = Place::begun();
    let server = place.serve().await;
    let client = server.client();
    for (old, size) in [(5, 7), (7, 300), (0, 301), (7, 302), (302, 302), (0, 302)] {
        let cosignature = add_checkpoint(&client, &log(), old, size).await.unwrap();
        assert_eq!(cosignature.time, TIME);
        let lines = [log().note(size).signatures(), &[cosignature.line]].concat();
        let note = Note::new(log().note(size).text().to_owned(), lines).unwrap();
        assert_eq!(note.verify(&[verifier_key()]).unwrap().len(), 1);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_future_of_a_request_is_send() {
    let place = Place::begun();
    let server = place.serve().await;
    let client = Arc::new(server.client());
    let request = tokio::spawn(async move {
        let log = log();
        let proof = |from| {
            let proof = log.proof(from, 7);
            async move { Ok::<_, Infallible>(proof) }
        };
        client.add_checkpoint(0, proof, &log.note(7)).await
    });
    request.await.unwrap().unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn each_kind_of_refusal_has_its_error() {
    let place = Place::begun();
    let server = place.serve().await;
    let client = server.client();
    add_checkpoint(&client, &log(), 0, 7).await.unwrap();

    // The log was rolled back, or rewritten, or the witness does not know it.
    assert!(matches!(add_checkpoint(&client, &log(), 0, 5).await, Err(WitnessError::Conflict { size: 7 })));
    assert!(matches!(add_checkpoint(&client, &fork(), 0, 9).await, Err(WitnessError::Refused { status: 422, .. })));
    assert!(matches!(add_checkpoint(&client, &fork(), 7, 7).await, Err(WitnessError::Refused { status: 422, .. })));
    let error = add_checkpoint(&client, &Log::new(support::OTHER, ""), 0, 5).await.unwrap_err();
    assert_eq!(error.to_string(), "the witness refused with status 404: unknown log origin");
    assert!(matches!(add_checkpoint(&client, &log(), 9, 7).await, Err(WitnessError::Usage(_))));

    // The caller has no proof, or no valid one, or no checkpoint.
    let unproven = async |_| Err::<Vec<Hash>, Unproven>("a tile is missing".into());
    let error = client.add_checkpoint(0, unproven, &log().note(9)).await.unwrap_err();
    assert!(matches!(error, WitnessError::Proof { from: 7, .. }), "{error}");
    let too_long = async |_| Ok::<_, Unproven>(vec![Hash::of(b""); 64]);
    assert!(matches!(client.add_checkpoint(7, too_long, &log().note(9)).await, Err(WitnessError::Usage(_))));
    let no_checkpoint = Note::new("a text\n".to_owned(), log().note(7).signatures().to_vec()).unwrap();
    let proof = async |_| Ok::<_, Unproven>(vec![]);
    assert!(matches!(client.add_checkpoint(0, proof, &no_checkpoint).await, Err(WitnessError::Usage(_))));

    // The witness is stopped.
    server.stop().await.unwrap();
    assert!(matches!(add_checkpoint(&client, &log(), 7, 9).await, Err(WitnessError::Unreachable { .. })));
}

#[test]
fn invalid_urls_and_keys_of_another_type_are_refused() {
    for url in ["", "witness.test", "ftp://witness.test", "unix:/run/witness"] {
        assert!(matches!(WitnessClient::new(url, verifier_key(), support::LONG), Err(WitnessError::Usage(_))), "{url}");
    }
    let other = verifier_key().with_type(SignatureType::Ed25519);
    assert!(matches!(WitnessClient::new("https://witness.test", other, support::LONG), Err(WitnessError::Usage(_))));
}

/// Starts a server that always gives the same response. Returns its URL and the number of requests.
async fn fake_witness(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
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
    (url, requests)
}

/// Returns the time of the cosignature that the client accepts from a response with status 200 and this body.
async fn accepted_time(body: impl Into<String>) -> Result<u64, WitnessError> {
    let body = body.into();
    let (url, _) = fake_witness(move || body.clone().into_response()).await;
    add_checkpoint(&client(&url), &log(), 0, 7).await.map(|cosignature| cosignature.time)
}

fn is_unsigned(outcome: &Result<u64, WitnessError>) -> bool {
    matches!(outcome, Err(WitnessError::Unsigned(_)))
}

#[tokio::test]
async fn only_a_valid_signature_of_the_pinned_key_is_accepted() {
    let witness = WitnessSigner::new(&witness_keys(), NAME).unwrap();
    let right = witness.cosign(&log().checkpoint(7), 1_001).to_string();
    let of_another_tree = witness.cosign(&log().checkpoint(8), 1_001).to_string();
    let at_no_time = witness.cosign(&log().checkpoint(7), 0).to_string();
    let stranger = WitnessSigner::new(&keyring(&[key(KeyKind::Witness, 9, "active")]), NAME).unwrap();
    let strangers = stranger.cosign(&log().checkpoint(7), 1_001).to_string();
    let of_another_name = WitnessSigner::new(&witness_keys(), "witness.test/v").unwrap();
    let of_another_name = of_another_name.cosign(&log().checkpoint(7), 1_001).to_string();

    assert_eq!(accepted_time(right.clone()).await.unwrap(), 1_001);
    let later = witness.cosign(&log().checkpoint(7), 2_002).to_string();
    assert_eq!(accepted_time(format!("{strangers}{of_another_name}{right}{later}")).await.unwrap(), 1_001);
    // An invalid signature of the key does not invalidate a later valid one.
    assert_eq!(accepted_time(format!("{of_another_tree}{at_no_time}{right}")).await.unwrap(), 1_001);
    for wrong in
        [&of_another_tree, &at_no_time, &strangers, &of_another_name, &log().note(7).signatures()[0].to_string()]
    {
        assert!(is_unsigned(&accepted_time(wrong.as_str()).await), "{wrong}");
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
        assert!(is_unsigned(&accepted_time(wrong.clone()).await), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_response_without_end_is_not_read_to_its_end() {
    let line = || WitnessSigner::new(&witness_keys(), NAME).unwrap().cosign(&log().checkpoint(7), 1_001).to_string();
    let endless = move |status: StatusCode| {
        let pieces = repeated(line());
        (status, Body::from_stream(pieces)).into_response()
    };
    let (url, _) = fake_witness(move || endless(StatusCode::OK)).await;
    assert!(matches!(add_checkpoint(&client(&url), &log(), 0, 7).await, Err(WitnessError::Unsigned(_))));
    let (url, _) = fake_witness(move || endless(StatusCode::IM_A_TEAPOT)).await;
    assert!(matches!(
        add_checkpoint(&client(&url), &log(), 0, 7).await,
        Err(WitnessError::Refused { status: 418, .. })
    ));
    // A response that is shorter than its Content-Length is incomplete.
    let (url, _) = fake_witness(move || ([(CONTENT_LENGTH, "99999")], line()).into_response()).await;
    assert!(matches!(add_checkpoint(&client(&url), &log(), 0, 7).await, Err(WitnessError::Unreachable { .. })));
}

/// Repeats a text without end.
fn repeated(text: String) -> impl futures::Stream<Item = Result<String, Infallible>> {
    futures::stream::repeat_with(move || Ok(text.clone()))
}

#[tokio::test]
async fn a_response_that_does_not_arrive_times_out() {
    let never = || Body::from_stream(futures::stream::pending::<Result<String, Infallible>>()).into_response();
    let (url, requests) = fake_witness(never).await;
    let client = WitnessClient::new(&url, verifier_key(), Duration::from_millis(50)).unwrap();
    let outcome = tokio::time::timeout(support::LONG, add_checkpoint(&client, &log(), 0, 7))
        .await
        .expect("the request did not time out");
    assert!(matches!(outcome, Err(WitnessError::Unreachable { .. })));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_conflict_is_followed_once() {
    let conflict = |body: &'static str| {
        let size = HeaderValue::from_static("text/x.tlog.size");
        move || (StatusCode::CONFLICT, HeaderMap::from_iter([(CONTENT_TYPE, size.clone())]), body).into_response()
    };
    let outcome = async |old, body: &'static str| {
        let (url, requests) = fake_witness(conflict(body)).await;
        let outcome = add_checkpoint(&client(&url), &log(), old, 7).await;
        (outcome.unwrap_err(), requests.load(Ordering::SeqCst))
    };
    assert!(
        matches!(outcome(0, "3\n").await, (WitnessError::Conflict { size: 3 }, 2)),
        "the witness answers with another size, and then refuses the proof from it"
    );
    assert!(
        matches!(outcome(3, "3\n").await, (WitnessError::Conflict { size: 3 }, 1)),
        "the witness answers with the size that was assumed"
    );
    assert!(
        matches!(outcome(0, "8\n").await, (WitnessError::Conflict { size: 8 }, 1)),
        "the witness has cosigned a larger size"
    );
    for (other, _) in [outcome(0, "").await, outcome(0, "03\n").await, outcome(0, "3").await, outcome(0, "-3\n").await]
    {
        assert!(matches!(other, WitnessError::Refused { status: 409, .. }), "{other}");
    }
    // A response with status 409 and another content type is a refusal without a size.
    let (url, requests) = fake_witness(|| (StatusCode::CONFLICT, "3\n").into_response()).await;
    assert!(matches!(
        add_checkpoint(&client(&url), &log(), 0, 7).await,
        Err(WitnessError::Refused { status: 409, .. })
    ));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    // A response with this content type and another status is not a conflict.
    let size = [(CONTENT_TYPE, "text/x.tlog.size")];
    let (url, requests) =
        fake_witness(move || (StatusCode::UNPROCESSABLE_ENTITY, size.clone(), "3\n").into_response()).await;
    assert!(matches!(
        add_checkpoint(&client(&url), &log(), 0, 7).await,
        Err(WitnessError::Refused { status: 422, .. })
    ));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let place = Place::begun();
    let server = place.serve().await;
    let elsewhere = HeaderValue::from_str(&format!("{}/add-checkpoint", server.url)).unwrap();
    let (url, _) =
        fake_witness(move || (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, elsewhere.clone())]).into_response()).await;
    assert!(matches!(
        add_checkpoint(&client(&url), &log(), 0, 7).await,
        Err(WitnessError::Refused { status: 307, .. })
    ));
    server.stop().await.unwrap();
}
