//! Tests of the servers and databases that other tests use.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its servers has failed")]

use std::time::Instant;

use sealbus_testkit::{Nats, Postgres};
use sqlx::{Connection, PgConnection};

/// Returns the answer of the database at an address.
async fn ask(url: &str, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

#[tokio::test]
async fn each_test_has_a_migrated_database_of_its_own() {
    let begun = Instant::now();
    let (first, second) = (Postgres::start().await, Postgres::start().await);
    println!("two databases after {:?}", begun.elapsed());
    assert_ne!(first.url(), second.url());
    first.admin("CREATE TABLE public.mine AS SELECT 1 AS n").await;
    let there = "SELECT (to_regclass('public.mine') IS NOT NULL)::text";
    assert_eq!((ask(&first.url(), there).await.as_str(), ask(&second.url(), there).await.as_str()), ("true", "false"));
    assert_eq!(ask(&first.url(), "SELECT current_user::text").await, "sealbus_writer");
    assert_eq!(ask(&first.owner_url(), "SELECT current_user::text").await, "sealbus_owner");
    assert_eq!(ask(&second.url(), "SELECT count(*)::text FROM sealbus.events").await, "0");
}

#[tokio::test]
async fn an_own_cluster_is_durable_and_comes_back_from_a_crash() {
    let begun = Instant::now();
    let mut own = Postgres::own_cluster().await;
    println!("a cluster after {:?}", begun.elapsed());
    assert_eq!(ask(&own.url(), "SHOW fsync").await, "on");
    own.admin("CREATE TABLE public.kept AS SELECT 'here'::text AS n").await;
    own.kill().await;
    assert!(PgConnection::connect(&own.url()).await.is_err(), "a crashed server answers nobody");
    own.restart().await;
    assert_eq!(ask(&own.admin_url(), "SELECT n FROM public.kept").await, "here");
}

#[tokio::test]
async fn a_broker_is_the_tests_own() {
    let (first, second) = (Nats::start().await, Nats::start().await);
    assert_ne!(first.url(), second.url());
}

#[test]
fn the_keyring_is_always_the_same() {
    assert_eq!(sealbus_testkit::keyring(), sealbus_testkit::keyring());
}
