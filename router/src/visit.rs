//! One request from its head to its access line.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::AppName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::access_log::{Record, now_unix_us};
use crate::admit::{Admitted, Refusal, admit};
use crate::client_side::ClientSide;
use crate::exchange::{End, Exchange, Told};
use crate::failure::{self, Failure};
use crate::http::Framing;
use crate::http::HttpError;
use crate::http::request::{Forwarded, Host, Request};
use crate::instance::InFlight;
use crate::limits;
use crate::pages::{self, Manner};
use crate::protocol::TroubleKind;
use crate::state::Shared;
use crate::table::App;
use crate::tunnel::{self, TunnelEnd};

/// Where a connection came in.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// The app whose lasting port it is; none where names decide.
    pub(crate) app: Option<AppName>,
    /// The port.
    pub(crate) port: u16,
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It can carry another request.
    Keep,
    /// It is closed in an orderly way.
    Close,
    /// It is closed after what the client still sends was read away for a moment.
    Linger,
    /// It is reset: an answer broke off whose end only a close would tell.
    Reset,
}

/// A request and what is known of it.
struct Visit<'a> {
    shared: &'a Shared,
    request: &'a Request,
    peer: SocketAddr,
    door: &'a Door,
    request_id: String,
    began: Instant,
    app: Option<Arc<App>>,
    ticket: Option<InFlight>,
    connect_ms: Option<u64>,
}

/// Answers a request whose head is `head`.
pub(crate) async fn answer<C>(shared: &Shared, client: &mut ClientSide<C>, peer: SocketAddr, door: &Door, head: Vec<u8>) -> After
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let request = match Request::parse(head) {
        Ok(request) => request,
        Err(error) => return refuse_head(shared, client, peer, error).await,
    };
    let mut visit = Visit {
        shared,
        peer,
        door,
        request_id: request.request_id().map_or_else(|| shared.random.request_id(), str::to_owned),
        request: &request,
        began: Instant::now(),
        app: None,
        ticket: None,
        connect_ms: None,
    };
    visit.app = match (&door.app, &request.host) {
        (Some(app), _) => shared.routes.by_app(app),
        (None, Some(Host::Name(name))) => shared.routes.by_host(name),
        (None, _) => None,
    };
    match visit.app.clone() {
        Some(app) => visit.serve(client, &app).await,
        None if visit.is_welcome() => visit.welcome(client).await,
        None => visit.fail(client, failure::UNKNOWN_HOST).await,
    }
}

/// Answers a head that is not HTTP as we speak it, and closes.
pub(crate) async fn refuse_head<C>(shared: &Shared, client: &mut ClientSide<C>, peer: SocketAddr, error: HttpError) -> After
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    refuse(shared, client, peer, &failure::of_http(error)).await
}

/// Answers what is no request at all, and closes.
pub(crate) async fn refuse<C>(shared: &Shared, client: &mut ClientSide<C>, peer: SocketAddr, failure: &Failure) -> After
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let request_id = shared.random.request_id();
    let manner = Manner { accept: b"", is_head: false, keep_alive: false, minor: 1 };
    let sent = client.send(&pages::failure(failure, None, &request_id, manner), shared.timeouts.client_head).await;
    let from = peer.ip().to_canonical().to_string();
    let record = Record {
        error: Some((failure::log_code(failure), failure.words)),
        request_id: &request_id,
        forwarded_for: from.as_bytes(),
        status: Some(failure.status),
        protocol: "http",
        ..Record::default()
    };
    shared.access.add(None, &record);
    if sent.is_ok() { After::Linger } else { After::Close }
}

impl Visit<'_> {
    async fn serve<C: AsyncRead + AsyncWrite + Unpin>(&mut self, client: &mut ClientSide<C>, app: &App) -> After {
        let mut retries = 0;
        loop {
            let admitted = tokio::select! {
                biased;
                admitted = admit(self.shared, app, self.request.is_repeatable()) => admitted,
                () = client.gone() => return self.client_left(&Told::default(), false),
            };
            let admitted = match admitted {
                Ok(admitted) => admitted,
                Err(refusal) => {
                    if let Refusal::Platform(error) = &refusal {
                        tracing::warn!(app = %app.name, ?error, "no connection to an instance could be made");
                    }
                    return self.fail(client, failure::of_refusal(&refusal)).await;
                }
            };
            self.connect_ms = Some(milliseconds(admitted.connect));
            let (end, told, app_stream) = self.exchange(client, admitted).await;
            if matches!(end, End::Stale) && retries < limits::RETRIES_MAX {
                retries += 1;
                self.ticket = None;
                continue;
            }
            return self.finish(client, end, told, app_stream).await;
        }
    }

    /// Sends the request and its answer; gives the app's connection back.
    async fn exchange<C>(&mut self, client: &mut ClientSide<C>, admitted: Admitted) -> (End, Told, Option<TcpStream>)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let instance = admitted.ticket.instance.clone();
        self.ticket = Some(admitted.ticket);
        let keep_alive = self.request.keep_alive && !*self.shared.draining.borrow();
        let head = self.head_for_app();
        let stream = admitted.upstream.stream;
        let mut exchange = Exchange::new(client, stream, self.request, &instance, head, self.shared.timeouts, keep_alive);
        if !admitted.upstream.reused {
            exchange.on_new_connection(instance.await_answer());
        }
        let began = Instant::now();
        let end = exchange.run().await;
        match end {
            End::NoFirstByte => instance.trouble(TroubleKind::Timeout),
            End::Idle if exchange.app_is_silent() => instance.trouble(TroubleKind::Timeout),
            End::NoAnswer | End::Broken => instance.trouble(TroubleKind::Reset),
            End::ClientGone if !exchange.has_received() && began.elapsed() >= Duration::from_millis(limits::LEFT_AFTER_MS) => {
                instance.trouble(TroubleKind::Left);
            }
            _ => {}
        }
        (end, std::mem::take(&mut exchange.told), exchange.app)
    }

    fn head_for_app(&self) -> Vec<u8> {
        let forwarded = Forwarded {
            peer: self.peer.ip().to_canonical(),
            scheme: "http",
            port: self.door.port,
            request_id: &self.request_id,
            start_unix_ms: u64::try_from(now_unix_us() / 1_000).unwrap_or(0),
        };
        let mut head = Vec::with_capacity(1024);
        let fallback = self.app.as_ref().map_or("localhost", |app| app.name.as_str());
        self.request.write_for_app(&forwarded, fallback, &mut head);
        head
    }

    async fn finish<C>(&mut self, client: &mut ClientSide<C>, end: End, told: Told, mut app: Option<TcpStream>) -> After
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let failure = match end {
            End::Complete => return self.complete(&told, app),
            End::Switched => {
                let instance = self.ticket.as_ref().map(|ticket| ticket.instance.clone());
                let (bytes, end) = match (&instance, &mut app) {
                    (Some(instance), Some(app)) => tunnel::carry(self.shared, client, app, instance).await,
                    _ => (0, TunnelEnd::Closed),
                };
                self.log((end == TunnelEnd::Idle).then_some(&failure::IDLE), told.status, bytes);
                return After::Close;
            }
            End::ClientGone => return self.client_left(&told, true),
            End::ClientMalformed(error) => failure::of_http(error),
            End::ClientIdle => failure::CLIENT_IDLE,
            End::NoFirstByte => failure::TIMED_OUT,
            End::Stale | End::NoAnswer => failure::NO_ANSWER,
            End::Malformed(error) => {
                tracing::debug!(%error, "an app's answer is not HTTP");
                failure::MALFORMED_ANSWER
            }
            End::Broken => failure::BROKEN,
            End::Idle => failure::IDLE,
        };
        drop(app);
        if told.status.is_none() {
            return self.fail(client, failure).await;
        }
        // The answer has begun: only a broken end can tell the client.
        self.log(Some(&failure), told.status, told.bytes);
        if told.ends_with_close { After::Reset } else { After::Close }
    }

    fn complete(&self, told: &Told, app: Option<TcpStream>) -> After {
        if let (Some(ticket), Some(app), true) = (&self.ticket, app, told.keep_app) {
            ticket.instance.keep_unused(app);
        }
        self.log(None, told.status, told.bytes);
        match (told.keep_client, self.request.framing) {
            (true, _) => After::Keep,
            (false, Framing::Empty) => After::Close,
            (false, _) => After::Linger,
        }
    }

    fn client_left(&mut self, told: &Told, sent: bool) -> After {
        if !sent {
            self.ticket = None;
        }
        self.log(Some(&failure::CLIENT_GONE), told.status.or(Some(failure::CLIENT_GONE.status)), told.bytes);
        After::Close
    }

    /// Answers in the app's stead.
    async fn fail<C: AsyncRead + AsyncWrite + Unpin>(&mut self, client: &mut ClientSide<C>, failure: Failure) -> After {
        let app = self.app.as_ref().map(|app| app.name.as_str());
        let manner = self.manner();
        let keep_alive = manner.keep_alive;
        let page = pages::failure(&failure, app, &self.request_id, manner);
        self.log(Some(&failure), Some(failure.status), body_bytes(&page));
        // The app has nothing to do with it any more.
        self.ticket = None;
        self.send(client, &page, keep_alive).await
    }

    async fn welcome<C: AsyncRead + AsyncWrite + Unpin>(&mut self, client: &mut ClientSide<C>) -> After {
        let manner = self.manner();
        let page = pages::welcome(manner);
        self.log(None, Some(200), body_bytes(&page));
        self.send(client, &page, manner.keep_alive).await
    }

    async fn send<C: AsyncRead + AsyncWrite + Unpin>(&self, client: &mut ClientSide<C>, page: &[u8], keep_alive: bool) -> After {
        match client.send(page, self.shared.timeouts.rolling_window).await {
            Err(_) => After::Close,
            Ok(()) if keep_alive => After::Keep,
            Ok(()) if self.request.framing == Framing::Empty => After::Close,
            Ok(()) => After::Linger,
        }
    }

    fn manner(&self) -> Manner<'_> {
        Manner {
            accept: self.request.value("accept").unwrap_or_default(),
            is_head: self.request.is_head(),
            // A body that was not read cannot be told from the next request.
            keep_alive: self.request.keep_alive && self.request.framing == Framing::Empty && !*self.shared.draining.borrow(),
            minor: self.request.minor,
        }
    }

    /// A bare address, asked for from this box or its own network.
    fn is_welcome(&self) -> bool {
        let local_name = match &self.request.host {
            Some(Host::Address(_)) => true,
            Some(Host::Name(name)) => name == "localhost",
            None => false,
        };
        self.door.app.is_none() && local_name && is_private(self.peer.ip().to_canonical())
    }

    fn log(&self, failure: Option<&Failure>, status: Option<u16>, bytes: u64) {
        if let Some(ticket) = &self.ticket {
            ticket.instance.count(status);
        }
        let record = Record {
            error: failure.map(|failure| (failure::log_code(failure), failure.words)),
            method: self.request.method(),
            path: self.request.target(),
            host: self.request.authority().unwrap_or_default(),
            request_id: &self.request_id,
            forwarded_for: &self.request.forwarded_for(self.peer.ip().to_canonical()),
            dyno: self.ticket.as_ref().map_or("", |ticket| ticket.instance.name.as_str()),
            connect_ms: self.connect_ms,
            service_ms: Some(milliseconds(self.began.elapsed())),
            status,
            bytes,
            protocol: "http",
        };
        self.shared.access.add(self.app.as_ref().map(|app| app.number), &record);
    }
}

fn body_bytes(page: &[u8]) -> u64 {
    page.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| (page.len() - at - 4) as u64)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Loopback, private, link-local and shared (100.64/10) addresses.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
