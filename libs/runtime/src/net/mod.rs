//! Binding ports, and an HTTP/1.1 server that does not wait indefinitely for its callers.

mod connection;
mod write_timeout;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::io::ErrorKind::{
    AddrInUse, AddrNotAvailable, ConnectionAborted, ConnectionRefused, ConnectionReset, PermissionDenied,
};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sealbus_core::error_chain;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

pub use self::connection::Connection;
use self::connection::{Activity, AnswerBody};
use self::write_timeout::WriteTimeout;
use crate::settings::{HostPort, Settings, table};

type Service = TowerToHyperService<Router>;

/// Pause after a connection could not be accepted for lack of descriptors or memory, so that other connections can end first.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The connections that wait until they are accepted, more than a server has open by default: if there are too many, a caller tries
/// again only after a second. The system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// See [`ConnectionLimits::first_request`]. Most clients send a request as soon as they are connected.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_millis(100);

/// The share of all connections that are closed at once for new ones, if none of them has an answered request.
const EVICTION_DIVISOR: usize = 32;

/// The maximum bytes of a request's head, and of a piece in which a body is read.
const BUFFER_BYTES: usize = 32 * 1024;

/// The memory of a connection: its buffer, its tasks, and an answer of a few KiB. Larger bodies and answers are accounted for by
/// who reads or makes them.
pub(crate) const CONNECTION_BYTES: u64 = 40 * 1024;

/// What a server grants its callers.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Time within which a connection has to send the headers of a request, counted from when it was opened or its last
    /// answer ended. Then it is closed, so that nobody can hold connections open by silence or by sending slowly.
    pub headers: Duration,
    /// Time after which a connection is closed on which an answer cannot be written, because its caller does not read.
    pub write: Duration,
    /// Time that calls in flight have to finish once the server is told to stop; then they are cut off.
    pub drain: Duration,
    /// Time for which a new connection is not closed for another one, because its first request may be on its way. It also limits how
    /// much of the processor is spent on callers that open connections without end.
    pub first_request: Duration,
    /// The maximum number of open connections. A further one takes the place of a connection of the caller that has most of them, itself
    /// included: of an idle one, first of all one without any answered request. If none is idle, it takes the place of the request
    /// that is in flight for longest, whose connection is closed; but a caller that has most connections itself waits, so that callers
    /// with equal shares do not cut off each other's requests. As many connections again may wait; further ones of such callers are
    /// closed.
    pub connections: usize,
}

impl ConnectionLimits {
    /// Returns the limits of the settings. Draining takes a third of the shutdown grace, so that a process with a client that
    /// does not read ends well within it: in less than 10 s by default.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            headers: settings.get(table::HEADER_TIMEOUT),
            write: settings.get(table::WRITE_TIMEOUT),
            drain: settings.get(table::SHUTDOWN_GRACE) / 3,
            first_request: FIRST_REQUEST,
            connections: settings.get(table::MAX_CONNECTIONS) as usize,
        }
    }
}

/// A port cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BindError {
    message: String,
    source: io::Error,
}

/// Binds `address`. `variable` is the setting that the operator has to change to use another address.
pub async fn bind(variable: &str, address: &HostPort) -> Result<TcpListener, BindError> {
    listen(address).await.map_err(|source| {
        let fault = match source.kind() {
            AddrInUse => format!("{address} is in use by another program; stop it, or choose another port"),
            PermissionDenied => format!("this user may not bind {address}; choose a port above 1023"),
            AddrNotAvailable => format!("{address} is not an address of this machine"),
            _ => format!("cannot listen on {address}"),
        };
        BindError { message: format!("{variable}: {fault}"), source }
    })
}

/// Binds the first of the addresses of a name that can be bound, as [`TcpListener::bind`] does, but with a longer [`BACKLOG`].
async fn listen(address: &HostPort) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(AddrNotAvailable, "the name has no address");
    for address in lookup_host(address.to_string()).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A process that is started again may bind the port while connections of the one before end.
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Serves `router` until `shutdown` fires. Then it accepts no more connections, and returns when the calls in flight are answered
/// or cut off. A failure to accept a connection is logged, and the server continues.
pub async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, shutdown: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    // The server of axum sets no timer, without which hyper waits for headers indefinitely.
    http.timer(TokioTimer::new()).header_read_timeout(limits.headers).max_buf_size(BUFFER_BYTES);
    let mut connections = Connections::default();
    // Connections of callers that have most of them. They do not keep those of other callers from being accepted.
    let mut waiting: VecDeque<(TcpStream, SocketAddr)> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            () = connections.changed() => match waiting.pop_front() {
                Some(first) => Ok(first),
                None => continue,
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if !waiting.is_empty() && connections.has_most(network(peer.ip())) => {
                    if waiting.len() < limits.connections {
                        waiting.push_back((stream, peer));
                    }
                    continue;
                }
                accepted => accepted,
            },
        };
        match accepted {
            Ok((stream, peer)) => {
                match shutdown.run_until_cancelled(connections.make_room(network(peer.ip()), &limits)).await {
                    Some(true) => {}
                    Some(false) => {
                        waiting.push_front((stream, peer));
                        continue;
                    }
                    None => break,
                }
                let connection = Connection::new(peer.ip(), Arc::clone(&connections.idle));
                let stream = WriteTimeout::new(stream, connection.clone(), limits.write);
                let answering = answer(http.clone(), stream, connection.clone(), service.clone(), shutdown.clone());
                connections.spawn(connection, answering);
                if !waiting.is_empty() {
                    // The next one looks at the open connections itself, which may be idle or not watched for it.
                    connections.idle.notify_one();
                }
            }
            // The caller closed the connection before it was accepted, which is not a failure of the server.
            Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "cannot accept a connection");
                // The loop handles both a timeout and a shutdown.
                let _ = timeout(ACCEPT_PAUSE, shutdown.cancelled()).await;
            }
        }
    }
    drop((listener, waiting));
    let answered = async { while connections.tasks.join_next().await.is_some() {} };
    if timeout(limits.drain, answered).await.is_err() {
        tracing::warn!(drain = ?limits.drain, "calls in flight are cut off");
        // What they hold is free when this returns.
        connections.tasks.shutdown().await;
    }
}

/// The open connections of a server.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The network of each open connection.
    networks: HashMap<Id, IpAddr>,
    /// The open connections of each network.
    open: HashMap<IpAddr, HashMap<Id, Connection>>,
    /// Notified when the first of the connections that wait may have room.
    idle: Arc<Notify>,
}

impl Connections {
    fn spawn(&mut self, connection: Connection, answering: impl Future<Output = ()> + Send + 'static) {
        let (id, network) = (self.tasks.spawn(answering).id(), connection.network());
        self.networks.insert(id, network);
        self.open.entry(network).or_default().insert(id, connection);
    }

    /// Waits until one of the open connections has ended. Without an open connection it waits for ever.
    async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => std::future::pending().await,
        };
        let network = self.networks.remove(&id).expect("every task is one of an open connection");
        if let Some(of_network) = self.open.get_mut(&network) {
            of_network.remove(&id);
            if of_network.is_empty() {
                self.open.remove(&network);
            }
        }
    }

    /// Waits until there may be room: one of the open connections has ended, or one that is watched is idle.
    async fn changed(&mut self) {
        let idle = Arc::clone(&self.idle);
        tokio::select! {
            () = self.ended() => {}
            () = idle.notified() => {}
        }
    }

    /// Makes room for a further connection of `network`. Returns whether fewer connections are open than may be; if not, the further one
    /// has to wait for a [change](Self::changed).
    ///
    /// Closes connections of the network that has most of them, counting the further one: idle ones in the order of [`Activity`], or
    /// else the one that has been busy for longest. If `network` itself has most, only idle ones are closed. Those that are so new
    /// that their first request may be on its way are not closed: this waits for them if `network` has most, or if there are no others.
    async fn make_room(&mut self, network: IpAddr, limits: &ConnectionLimits) -> bool {
        while self.networks.len() >= limits.connections {
            let (share, largest) = self.shares(network);
            let has_most = share == largest;
            let now = Instant::now();
            let is_new =
                |activity| matches!(activity, Activity::Unanswered(since) if now < since + limits.first_request);
            let has_largest_share = |other, open: usize| open + usize::from(other == network) == largest;
            let networks = self.open.iter().filter(|(other, open)| has_largest_share(**other, open.len()));
            let of_largest = networks.flat_map(|(_, open)| open.values());
            let watched = of_largest.map(|connection| (connection.watch(), connection));
            let mut closable: Vec<_> = watched.filter(|(activity, _)| activity.is_idle() || !has_most).collect();
            let order = |(activity, _): &(Activity, &Connection)| (!has_most && is_new(*activity), *activity);
            // Several are closed at once, so that not every new connection of a caller that opens them without end looks at all others.
            let max_evicted = (limits.connections / EVICTION_DIVISOR).max(1);
            if closable.len() > max_evicted {
                closable.select_nth_unstable_by_key(max_evicted, order);
                closable.truncate(max_evicted);
            }
            closable.sort_unstable_by_key(order);
            match closable.first() {
                None => return false,
                Some(&(activity @ Activity::Unanswered(since), _)) if is_new(activity) => {
                    // The loop handles both a timeout and a connection that has ended.
                    let _ = timeout_at(since + limits.first_request, self.ended()).await;
                }
                Some(_) => {
                    let is_silent = |activity| matches!(activity, Activity::Unanswered(_)) && !is_new(activity);
                    let evicted = closable.iter().take_while(|(activity, _)| is_silent(*activity)).count().max(1);
                    let evicted = closable.iter().take(evicted);
                    if evicted.filter(|(activity, connection)| connection.evict(*activity)).count() > 0 {
                        self.changed().await;
                    }
                }
            }
        }
        true
    }

    /// Returns whether no other network has more connections than this one, counting a further one of it.
    fn has_most(&self, network: IpAddr) -> bool {
        let (share, largest) = self.shares(network);
        share == largest
    }

    /// Returns the number of connections of a network, counting a further one of it, and the largest number that a network has then.
    fn shares(&self, network: IpAddr) -> (usize, usize) {
        let share = self.open.get(&network).map_or(0, HashMap::len) + 1;
        (share, self.open.values().map(HashMap::len).fold(share, usize::max))
    }
}

/// Returns the network that counts as one caller: an IPv4 address, or the first 64 bits of an IPv6 address, of which one machine
/// often has all (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Answers the requests of a connection. Once `shutdown` fires, only the request in flight is answered.
async fn answer(
    http: http1::Builder,
    stream: WriteTimeout,
    connection: Connection,
    service: Service,
    shutdown: CancellationToken,
) {
    let requests = connection.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let in_flight = requests.begin_request();
        request.extensions_mut().insert(requests.clone());
        let answered = service.call(request);
        async move {
            let answer: Response<_> = answered.await?;
            Ok::<_, Infallible>(answer.map(|body| AnswerBody { body, _in_flight: in_flight }))
        }
    });
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = connection.closed() => return,
        () = last_request(&connection, &shutdown) => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                () = connection.closed() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error_chain(&error), "connection broken");
    }
}

/// Returns when a connection may answer no further request than the one in flight.
async fn last_request(connection: &Connection, shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = connection.retired() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Value;

    #[tokio::test]
    async fn a_port_in_use_is_reported_with_what_to_do() {
        let any = HostPort::parse("127.0.0.1:0").unwrap();
        let listener = bind("SEALBUS_LISTEN", &any).await.expect("a free port");
        let taken = HostPort::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let error = bind("SEALBUS_LISTEN", &taken).await.expect_err("the port is in use");
        assert_eq!(
            error.to_string(),
            format!("SEALBUS_LISTEN: {taken} is in use by another program; stop it, or choose another port")
        );
    }

    #[test]
    fn the_addresses_of_an_ipv6_network_are_one_caller() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_reported() {
        let error = bind("SEALBUS_LISTEN", &HostPort::parse("192.0.2.1:0").unwrap())
            .await
            .expect_err("the address belongs to another machine");
        assert_eq!(error.to_string(), "SEALBUS_LISTEN: 192.0.2.1:0 is not an address of this machine");
    }
}
