//! A nats-server as a child process: authentication, restarts after a crash, and the removal of its files.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use sealbus_backing::{BackingError, Nats, NatsOptions};
use sealbus_testkit::eventually;
use sealbus_testkit::process::{processes_with, send_signal};

use crate::support::{folder, nats};

/// Sends protocol lines to a server, and returns its greeting and the first line of its reply.
fn exchange(port: u16, lines_to_send: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let greeting = lines.next().unwrap().unwrap();
    stream.write_all(lines_to_send.as_bytes()).unwrap();
    (greeting, lines.next().unwrap().unwrap())
}

#[tokio::test]
async fn a_connection_without_a_password_is_refused() {
    let server = Nats::start(nats(&folder())).await.unwrap();
    let (greeting, reply) = exchange(server.port(), "CONNECT {}\r\nPING\r\n");
    assert!(greeting.contains("\"auth_required\":true") && greeting.contains("\"max_payload\":1048576"), "{greeting}");
    assert!(greeting.contains("\"host\":\"127.0.0.1\""), "{greeting}");
    assert!(reply.contains("Authorization Violation"), "{reply}");
}

#[tokio::test]
async fn a_restart_keeps_port_and_password() {
    let folder = folder();
    let mut server = Nats::start(nats(&folder)).await.unwrap();
    let url = server.url();
    for _ in 0..3 {
        server.process.kill().await;
        assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err(), "a killed server accepted a connection");
        server.restart().await.unwrap();
        assert_eq!(server.url(), url);
    }
    server.process.stop().await;
    assert!(!folder.exists(), "stop left the ephemeral folder");
}

#[tokio::test]
async fn a_killed_server_leaves_no_process_and_no_folder() {
    let folder = folder();
    let mut server = Nats::start(nats(&folder)).await.unwrap();
    server.process.kill().await;
    assert_eq!(processes_with(&folder.display().to_string()), Vec::<u32>::new());
    drop(server);
    eventually("the folder of a killed, ephemeral server is removed", async || !folder.exists()).await;
}

#[tokio::test]
async fn the_error_of_a_taken_port_names_the_server() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = folder();
    let refused = Nats::start(NatsOptions { port: Some(port), ..nats(&folder) }).await.err().unwrap();
    assert!(matches!(refused, BackingError::PortTaken { server: "nats-server", .. }), "{refused}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_error_of_a_server_that_ended_quotes_its_log() {
    let mut server = Nats::start(nats(&folder())).await.unwrap();
    send_signal(server.process.pid(), Signal::TERM);
    let error = server.process.exited().await.to_string();
    assert!(error.starts_with("nats-server stopped") && error.contains("Server Exiting"), "{error}");
}
