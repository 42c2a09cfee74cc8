//! The attacks. Each runs until it is aborted, and ignores what the publisher answers.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{ATTACKER, REVOKED, TENANT};

/// The publisher under attack.
#[derive(Clone)]
pub(crate) struct Target {
    pub address: SocketAddr,
    pub url: String,
}

/// Starts the tasks of an attack.
type Attack = fn(&Target, &mut JoinSet<()>);

pub(crate) const ATTACKS: [Attack; 11] = [
    nested_bodies,
    slow_bodies,
    chunked_bodies,
    cut_off_bodies,
    readers_that_do_not_read,
    streams_that_do_not_read,
    idle_connections,
    many_patterns,
    prefix_searches,
    revoked_tokens,
    impatient_clients,
];

/// The plan that readers and streams ask for.
const PLAN: &str = "large";

/// Stores the events that the attackers read, and checks that the publisher reads the attack of many patterns.
pub(crate) async fn prepare(target: &Target) {
    let http = reqwest::Client::new();
    for _ in 0..100 {
        let event = json!({ "type": "test.happened", "data": "x".repeat(200_000) });
        let stored = http.post(format!("{}/v1/plans/{PLAN}/events", target.url)).bearer_auth(ATTACKER).json(&event);
        assert_eq!(stored.send().await.unwrap().status().as_u16(), 201);
    }
    let patterns = http.get(format!("{}{}", target.url, path_of_patterns())).bearer_auth(ATTACKER);
    let refused = patterns.send().await.unwrap();
    let status = refused.status().as_u16();
    let problem: Value = refused.json().await.unwrap();
    assert_eq!((status, problem["code"].as_str()), (400, Some("invalid_field")), "{problem}");
}

/// Returns whether the attacker can publish.
pub(crate) async fn publishes(target: &Target) -> bool {
    let event = json!({ "type": "test.happened", "data": {} });
    let url = format!("{}/v1/plans/{PLAN}/events", target.url);
    let stored = reqwest::Client::new().post(url).bearer_auth(ATTACKER).json(&event).send().await;
    stored.is_ok_and(|response| response.status().as_u16() == 201)
}

/// Starts `count` tasks that repeat an attack, each at most 20 times a second.
fn repeat<F>(
    target: &Target,
    tasks: &mut JoinSet<()>,
    count: usize,
    attack: impl Fn(Target) -> F + Copy + Send + 'static,
) where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    for _ in 0..count {
        let target = target.clone();
        tasks.spawn(async move {
            let mut tick = interval(Duration::from_millis(50));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let _ = attack(target.clone()).await;
            }
        });
    }
}

/// Opens a connection from another address than the well-behaved tenant's. On Linux all of 127.0.0.0/8 are addresses of this machine.
async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    // The ports are used in turn. If the system chose them, it would search longer and longer among those of connections that have
    // ended, and the load itself would take the processors.
    static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
    let port = 1_024 + NEXT_PORT.fetch_add(1, Ordering::Relaxed) % (u16::MAX - 1_024);
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2], port)))?;
    socket.connect(target.address).await
}

/// Opens a connection and sends the head of a request with the attacker's token.
async fn request(target: &Target, head: &str, headers: &str) -> std::io::Result<TcpStream> {
    let mut connection = connect(target).await?;
    let text = format!("{head} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ATTACKER}\r\n{headers}\r\n");
    connection.write_all(text.as_bytes()).await?;
    Ok(connection)
}

fn post() -> String {
    format!("POST /v1/plans/{PLAN}/events")
}

fn nested_bodies(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 4, |target| async move {
        let element = format!("{}0{}", "{\"\":".repeat(60), "}".repeat(60));
        let elements = vec![element.as_str(); (4 << 20) / (element.len() + 1) - 1].join(",");
        let body = format!(r#"{{"type":"test.happened","data":[{elements}]}}"#);
        let mut connection = request(&target, &post(), &format!("Content-Length: {}\r\n", body.len())).await?;
        connection.write_all(body.as_bytes()).await?;
        connection.read(&mut [0; 1024]).await.map(drop)
    });
}

/// Sends a body with these headers piece by piece, two pieces a second.
async fn trickle(target: Target, headers: &str, piece: &[u8]) -> std::io::Result<()> {
    let mut connection = request(&target, &post(), headers).await?;
    let mut tick = interval(Duration::from_millis(500));
    loop {
        tick.tick().await;
        connection.write_all(piece).await?;
    }
}

fn slow_bodies(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 100, |target| trickle(target, "Content-Length: 4194304\r\n", b" "));
}

fn chunked_bodies(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 50, |target| trickle(target, "Transfer-Encoding: chunked\r\n", b"1\r\n \r\n"));
}

fn cut_off_bodies(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 8, |target| async move {
        let mut connection = request(&target, &post(), "Content-Length: 4194304\r\n").await?;
        connection.write_all(&vec![b' '; 2 << 20]).await
    });
}

fn readers_that_do_not_read(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 100, |target| async move {
        let _open = request(&target, &format!("GET /v1/plans/{PLAN}/events?limit=100"), "").await?;
        pending().await
    });
}

fn streams_that_do_not_read(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 300, |target| async move {
        let _open = request(&target, &format!("GET /v1/plans/{PLAN}/events/stream?after=0"), "").await?;
        pending().await
    });
}

fn idle_connections(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 2_000, |target| async move {
        let mut connection = connect(&target).await?;
        connection.read(&mut [0; 1]).await.map(drop)
    });
}

/// Returns a path with as many patterns as fit into the head of a request.
fn path_of_patterns() -> String {
    format!("/v1/plans/{PLAN}/events?{}", "type=*a&".repeat(4_000))
}

fn many_patterns(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 4, |target| async move {
        let mut connection = request(&target, &format!("GET {}", path_of_patterns()), "").await?;
        connection.read(&mut [0; 1024]).await.map(drop)
    });
}

fn prefix_searches(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 16, |target| async move {
        let mut connection =
            request(&target, &format!("GET /v1/plans?tenant={TENANT}&prefix=l&limit=1000"), "").await?;
        connection.read(&mut [0; 1024]).await.map(drop)
    });
}

fn revoked_tokens(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 16, |target| async move {
        let mut connection = connect(&target).await?;
        let head = format!(
            "GET /v1/plans/{PLAN}/events/stream HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {REVOKED}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await?;
        let mut buffer = [0; 4096];
        while connection.read(&mut buffer).await? > 0 {}
        Ok(())
    });
}

fn impatient_clients(target: &Target, tasks: &mut JoinSet<()>) {
    repeat(target, tasks, 32, |target| async move {
        let body = format!(r#"{{"type":"test.happened","data":"{}"}}"#, "x".repeat(200_000));
        let mut connection = request(&target, &post(), &format!("Content-Length: {}\r\n", body.len())).await?;
        connection.write_all(body.as_bytes()).await?;
        let answered = timeout(Duration::from_millis(100), connection.read(&mut [0; 1024])).await;
        answered.map_or(Ok(()), |read| read.map(drop))
    });
}
