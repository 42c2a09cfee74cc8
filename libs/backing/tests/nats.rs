//! nats-server as a child: closed to strangers, and back on its port and store after a crash.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::{Pid, Signal, kill_process};
use sealbus_backing::{BackingError, Nats, NatsOptions};

use crate::support::{folder, nats, processes_with, wait_until};

/// Says something to a server; the greeting, and the first line after it.
fn talk(port: u16, line: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let greeting = lines.next().unwrap().unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    (greeting, lines.next().unwrap().unwrap())
}

#[tokio::test]
async fn strangers_stay_out() {
    let server = Nats::start(nats(&folder())).await.unwrap();
    let (greeting, answer) = talk(server.port(), "CONNECT {}\r\nPING\r\n");
    assert!(greeting.contains("\"auth_required\":true") && greeting.contains("\"max_payload\":1048576"), "{greeting}");
    assert!(greeting.contains("\"host\":\"127.0.0.1\""), "{greeting}");
    assert!(answer.contains("Authorization Violation"), "{answer}");
}

#[tokio::test]
async fn it_comes_back_on_its_port() {
    let folder = folder();
    let mut server = Nats::start(nats(&folder)).await.unwrap();
    let url = server.url();
    for _ in 0..3 {
        server.kill().await;
        assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err(), "a crashed server answers nobody");
        server.restart().await.unwrap();
        assert_eq!(server.url(), url);
    }
    server.stop().await;
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_killed_one_leaves_nothing() {
    let folder = folder();
    let mut server = Nats::start(nats(&folder)).await.unwrap();
    server.kill().await;
    assert!(processes_with(&folder.display().to_string()).is_empty());
    drop(server);
    wait_until("the folder of a killed, ephemeral server is gone", || !folder.exists());
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = folder();
    let refused = Nats::start(NatsOptions { port: Some(port), ..nats(&folder) }).await.err().unwrap();
    assert!(matches!(refused, BackingError::PortTaken { what: "nats-server", .. }), "{refused}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_death_is_told_with_the_end_of_its_log() {
    let mut server = Nats::start(nats(&folder())).await.unwrap();
    kill_process(Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap(), Signal::TERM).unwrap();
    let death = server.died().await.to_string();
    assert!(death.starts_with("nats-server stopped") && death.contains("Server Exiting"), "{death}");
}
