//! A stand-in of the Security API: HTTP/1.1 on a real socket, with whatever answer a test wants.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{future, io};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With a status and a body, as JSON.
    Http(u16, Vec<u8>),
    /// With these bytes and the end of the connection, whether that is HTTP or not.
    Bytes(Vec<u8>),
    /// With these bytes, after which nothing comes.
    Stalled(Vec<u8>),
}

impl Reply {
    /// Status 200 with this `security` object.
    pub(crate) fn security(security: &Value) -> Self {
        Self::Http(200, json!({ "security": security }).to_string().into_bytes())
    }

    /// Status 200 with this score and no flag.
    pub(crate) fn score(score: u8) -> Self {
        Self::security(&json!({ "threat_score": score }))
    }

    /// A status with the API's error body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Http(status, br#"{"message":"nothing about this address"}"#.to_vec())
    }
}

/// What happens to the requests about one address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// How many came in.
    pub(crate) requests: usize,
    /// How many of them were open at once at most.
    pub(crate) most_at_once: usize,
    open: usize,
}

#[derive(Debug)]
struct State {
    /// The replies about each address, in their order; the last of them again and again.
    replies: Mutex<HashMap<String, VecDeque<Reply>>>,
    otherwise: Mutex<Reply>,
    /// The replies to bulk calls, like those about an address; without any, they get what single calls would get.
    bulk: Mutex<VecDeque<Option<Reply>>>,
    targets: Mutex<Vec<String>>,
    traffic: Mutex<HashMap<String, Traffic>>,
    /// How many requests came in.
    arrived: watch::Sender<usize>,
    /// Whether answers are held back.
    is_holding: watch::Sender<bool>,
}

/// The server. It ends with the runtime it was started on.
pub(crate) struct Server {
    port: u16,
    state: Arc<State>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Server {
    /// Listens, and answers every address with a score of 0 until told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            replies: Mutex::default(),
            otherwise: Mutex::new(Reply::score(0)),
            bulk: Mutex::default(),
            targets: Mutex::default(),
            traffic: Mutex::default(),
            arrived: watch::channel(0).0,
            is_holding: watch::channel(false).0,
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers requests about `ip`, in its canonical spelling, like this from now on.
    pub(crate) fn answer(&self, ip: &str, reply: Reply) {
        self.answer_in_turn(ip, [reply]);
    }

    /// Answers requests about `ip` with one of these after the other, and from then on with the last.
    pub(crate) fn answer_in_turn<const COUNT: usize>(&self, ip: &str, replies: [Reply; COUNT]) {
        locked(&self.state.replies).insert(ip.to_owned(), replies.into());
    }

    /// Answers requests about all other addresses like this from now on.
    pub(crate) fn answer_otherwise(&self, reply: Reply) {
        *locked(&self.state.otherwise) = reply;
    }

    /// Answers bulk calls like this from now on, and no longer with what single calls would get.
    pub(crate) fn answer_bulk(&self, reply: Reply) {
        *locked(&self.state.bulk) = [Some(reply)].into();
    }

    /// Answers that many bulk calls like this, and those after with what single calls would get.
    pub(crate) fn answer_bulk_at_first(&self, count: usize, reply: &Reply) {
        let replies = (0..count).map(|_| Some(reply.clone()));
        *locked(&self.state.bulk) = replies.chain([None]).collect();
    }

    /// Keeps answers back until `release`.
    pub(crate) fn hold(&self) {
        self.state.is_holding.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.state.is_holding.send_replace(false);
    }

    /// The request targets since the last call, byte for byte.
    pub(crate) fn take_targets(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.state.targets))
    }

    /// What happened to the requests about `ip`.
    pub(crate) fn traffic(&self, ip: &str) -> Traffic {
        locked(&self.state.traffic).get(ip).copied().unwrap_or_default()
    }

    /// Waits until that many requests came in since the server began.
    pub(crate) async fn arrived(&self, requests: usize) {
        let mut arrived = self.state.arrived.subscribe();
        timeout(PATIENCE, arrived.wait_for(|count| *count >= requests)).await.unwrap().unwrap();
    }
}

/// Waits until `is_so`, for what nothing announces.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let polling = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, polling).await.unwrap();
}

async fn serve(mut stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some((target, body)) = read_request(&mut stream, &mut unread).await? {
        let bulk: Option<BulkQuestion> = serde_json::from_slice(&body).ok();
        let ips = bulk.as_ref().map_or_else(|| vec![ip_of(&target)], |bulk| bulk.ips.clone());
        state.begin(&ips, target);
        let mut is_holding = state.is_holding.subscribe();
        if is_holding.wait_for(|is_holding| !is_holding).await.is_err() {
            return Ok(());
        }
        let mut replies: Vec<Reply> = ips.iter().map(|ip| state.end(ip)).collect();
        let reply = if bulk.is_some() { state.bulk(&ips, &replies) } else { replies.remove(0) };
        match reply {
            Reply::Http(status, body) => stream.write_all(&response(status, &body)).await?,
            Reply::Stalled(bytes) => {
                stream.write_all(&bytes).await?;
                return future::pending().await;
            }
            Reply::Bytes(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
        }
    }
    Ok(())
}

/// What a bulk call asks.
#[derive(Deserialize)]
struct BulkQuestion {
    ips: Vec<String>,
}

impl State {
    fn begin(&self, ips: &[String], target: String) {
        locked(&self.targets).push(target);
        let mut traffic = locked(&self.traffic);
        for ip in ips {
            let traffic = traffic.entry(ip.clone()).or_default();
            traffic.requests += 1;
            traffic.open += 1;
            traffic.most_at_once = traffic.most_at_once.max(traffic.open);
        }
        self.arrived.send_modify(|count| *count += 1);
    }

    fn end(&self, ip: &str) -> Reply {
        if let Some(traffic) = locked(&self.traffic).get_mut(ip) {
            traffic.open -= 1;
        }
        let mut replies = locked(&self.replies);
        let reply = replies.get_mut(ip).and_then(next);
        reply.unwrap_or_else(|| locked(&self.otherwise).clone())
    }

    /// One entry for each address, as its reply would say it; what all bulk calls get, where that was told.
    fn bulk(&self, ips: &[String], replies: &[Reply]) -> Reply {
        if let Some(reply) = next(&mut locked(&self.bulk)).flatten() {
            return reply;
        }
        let entries: Vec<Value> = ips.iter().zip(replies).map(|(ip, reply)| entry(ip, reply)).collect();
        Reply::Http(200, Value::from(entries).to_string().into_bytes())
    }
}

/// One after the other, and then the last again and again.
fn next<T: Clone>(replies: &mut VecDeque<T>) -> Option<T> {
    if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
}

fn entry(ip: &str, reply: &Reply) -> Value {
    let Reply::Http(status, body) = reply else { return json!({ "message": "it failed" }) };
    let mut entry: Value = serde_json::from_slice(body).unwrap();
    if *status == 200 {
        entry["ip"] = json!(ip);
    }
    entry
}

/// The target and the body of the next request, or nothing when the client went away.
async fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&unread[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let whole = end + 4 + length.map_or(0, |length| length.trim().parse().unwrap());
            if unread.len() >= whole {
                let request: Vec<u8> = unread.drain(..whole).collect();
                let head = String::from_utf8_lossy(&request[..end]).into_owned();
                let target = head.split(' ').nth(1).map(str::to_owned);
                return Ok(target.map(|target| (target, request[end + 4..].to_vec())));
            }
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}

/// The address that a target asks about; only colons are ever escaped in one.
fn ip_of(target: &str) -> String {
    target.rsplit_once("ip=").map_or_else(String::new, |(_, ip)| ip.replace("%3A", ":"))
}

/// An answer as it stands on the wire.
pub(crate) fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Any\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
