//! A server of feeds on loopback that behaves as badly as a test wants.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    headers: HashMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, headers, and a body of a known length.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes and the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, and then nothing for as long as the client waits.
    Stall(Vec<u8>),
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Http(200, vec![("content-type", "text/plain".into())], body.into())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Http(status, Vec::new(), Vec::new())
    }

    pub(crate) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Http(status, mut headers, body) => {
                headers.retain(|(other, _)| *other != name);
                headers.push((name, value.into()));
                Self::Http(status, headers, body)
            }
            other => other,
        }
    }

    /// The answer as it stands on the wire.
    pub(crate) fn wire(&self) -> Vec<u8> {
        match self {
            Self::Http(status, headers, body) => {
                let length = ("content-length", body.len().to_string());
                let headers = headers.iter().chain(Some(&length).filter(|_| *status != 304));
                let head = headers.fold(format!("HTTP/1.1 {status} Any\r\n"), |head, (name, value)| {
                    head + name + ": " + value + "\r\n"
                });
                [(head + "\r\n").as_bytes(), body].concat()
            }
            Self::Bytes(bytes) | Self::Stall(bytes) => bytes.clone(),
        }
    }
}

type Answer = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    requests: Mutex<Vec<Request>>,
    arrived: watch::Sender<usize>,
}

/// The server. It ends with the runtime it was started on.
pub(crate) struct Server {
    port: u16,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let of_task = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&of_task)));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers requests for `path` like this from now on.
    pub(crate) fn answer(&self, path: &str, reply: Reply) {
        self.answer_with(path, move |_| reply.clone());
    }

    pub(crate) fn answer_with(&self, path: &str, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        self.shared.answers.lock().unwrap().insert(path.to_owned(), Box::new(answer));
    }

    /// The requests since the last call.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.requests.lock().unwrap())
    }

    /// Waits until a request for `path` came.
    pub(crate) async fn asked_for(&self, path: &str) {
        let mut arrived = self.shared.arrived.subscribe();
        let came =
            |_: &usize| self.shared.requests.lock().unwrap().iter().any(|request| request.path == path);
        timeout(PATIENCE, arrived.wait_for(came)).await.unwrap().unwrap();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread).await? {
        let answers = |answer: &Answer| answer(&request);
        let reply = shared.answers.lock().unwrap().get(&request.path).map_or(Reply::status(404), answers);
        let written = stream.write_all(&reply.wire()).await;
        shared.requests.lock().unwrap().push(request);
        shared.arrived.send_modify(|count| *count += 1);
        written?;
        match reply {
            Reply::Http(..) => {}
            Reply::Bytes(_) => return stream.shutdown().await,
            // Until the client goes away.
            Reply::Stall(_) => return stream.read_buf(&mut unread).await.map(|_| ()),
        }
    }
    Ok(())
}

/// The next request, or nothing when the client went away.
async fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some(end) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head: Vec<u8> = unread.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
            return Ok(Some(Request { path, headers }));
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}
