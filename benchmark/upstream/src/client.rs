//! Connections that are kept alive, and ask one question after the other.

#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::arguments::Outcome;

/// What a connection sends.
pub type Question = Request<Full<Bytes>>;

/// Where all connections have their questions from.
pub trait Questions: Send + Sync + 'static {
    /// The next one, or nothing when it is enough.
    ///
    /// # Errors
    /// When it cannot be made.
    fn next(&self) -> Outcome<Option<Question>>;

    /// Whether a server that works answers with this.
    fn is_expected(&self, status: StatusCode) -> bool;
}

/// What came back.
#[derive(Debug)]
pub struct Answers {
    /// How long each answer took, the shortest time first.
    pub times: Vec<Duration>,
    /// How long all took together.
    pub took: Duration,
}

impl Answers {
    /// How many came in a second.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        let count = u128::try_from(self.times.len()).unwrap_or(u128::MAX);
        u64::try_from(count * 1_000_000 / self.took.as_micros().max(1)).unwrap_or(u64::MAX)
    }

    /// The time within which so many percent of the answers came.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get(last * percent / 100).copied().unwrap_or_default()
    }
}

/// Asks a server on this machine from so many connections until there are no more questions.
///
/// # Errors
/// When it cannot be reached, or one of its answers is not expected.
pub async fn ask_all<Q: Questions>(port: u16, connections: usize, questions: Q) -> Outcome<Answers> {
    let questions = Arc::new(questions);
    let began = Instant::now();
    let tasks: Vec<_> =
        (0..connections).map(|_| tokio::spawn(ask_on_one(port, Arc::clone(&questions)))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let took = began.elapsed();
    times.sort_unstable();
    Ok(Answers { times, took })
}

async fn ask_on_one<Q: Questions>(port: u16, questions: Arc<Q>) -> Outcome<Vec<Duration>> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let mut times = Vec::new();
    while let Some(question) = questions.next()? {
        let began = Instant::now();
        let status = ask(&mut sender, question).await?;
        if !questions.is_expected(status) {
            return Err(format!("answered with {status}").into());
        }
        times.push(began.elapsed());
    }
    Ok(times)
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, question: Question) -> Outcome<StatusCode> {
    sender.ready().await?;
    let response = sender.send_request(question).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_answers_that_came() {
        let times = (1..=100).map(Duration::from_millis).collect();
        let answers = Answers { times, took: Duration::from_secs(2) };
        assert_eq!(answers.per_second(), 50);
        assert_eq!(answers.percentile(50), Duration::from_millis(50));
        assert_eq!(answers.percentile(99), Duration::from_millis(99));
        let none = Answers { times: Vec::new(), took: Duration::ZERO };
        assert_eq!((none.per_second(), none.percentile(99)), (0, Duration::ZERO));
    }
}
