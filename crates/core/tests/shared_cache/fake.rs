//! A server that greets like Redis and then misbehaves as a test wants, for what the real one cannot be made to do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How commands about entries are answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behaviour {
    /// There are none.
    Empty,
    /// As an error.
    Error(&'static str),
    /// By sending everybody here again.
    Moved,
    /// By half an answer, and silence.
    HalfAnAnswer,
    /// By none after a while.
    Late(Duration),
    /// With something that is not the protocol.
    Nonsense,
    /// With an answer that does not end.
    Endless,
    /// With an answer of another type.
    OtherType,
    /// By ending the connection.
    HangUp,
    /// Not even the greeting is understood.
    Outdated,
}

/// The server. It ends with the runtime it was started on.
pub(crate) struct Fake {
    pub(crate) port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    /// How many commands about entries came.
    asked: Arc<Mutex<usize>>,
}

impl Fake {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Self { port, behaviour: Arc::new(Mutex::new(behaviour)), asked: Arc::default() };
        let (behaviour, asked) = (Arc::clone(&fake.behaviour), Arc::clone(&fake.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behaviour, asked) = (Arc::clone(&behaviour), Arc::clone(&asked));
                tokio::spawn(async move { serve(stream, port, &behaviour, &asked).await });
            }
        });
        fake
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

/// Serves one connection until it ends.
async fn serve(
    stream: TcpStream,
    port: u16,
    behaviour: &Mutex<Behaviour>,
    asked: &Mutex<usize>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let command = read_command(&mut stream).await?;
        let name = command.first()?.to_uppercase();
        let reply = match name.as_str() {
            "HELLO" if *behaviour.lock().unwrap() == Behaviour::Outdated => {
                "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n".to_owned()
            }
            "HELLO" => "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n".to_owned(),
            "SUBSCRIBE" => {
                format!(">3\r\n$9\r\nsubscribe\r\n${}\r\n{}\r\n:1\r\n", command[1].len(), command[1])
            }
            "CLUSTER" => format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n"),
            "PING" => "+PONG\r\n".to_owned(),
            "GETRANGE" | "PTTL" | "EVAL" => {
                *asked.lock().unwrap() += 1;
                let now = *behaviour.lock().unwrap();
                answer(&mut stream, now, &name, port).await?
            }
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(reply.as_bytes()).await.ok()?;
    }
}

async fn answer(
    stream: &mut BufReader<TcpStream>,
    behaviour: Behaviour,
    name: &str,
    port: u16,
) -> Option<String> {
    let empty = if name == "GETRANGE" { "$0\r\n\r\n" } else { ":-2\r\n" };
    match behaviour {
        Behaviour::Empty => Some(empty.to_owned()),
        Behaviour::Error(error) => Some(format!("-{error}\r\n")),
        Behaviour::Moved => Some(format!("-MOVED 1 127.0.0.1:{port}\r\n")),
        Behaviour::Late(time) => {
            sleep(time).await;
            Some(empty.to_owned())
        }
        Behaviour::HalfAnAnswer => {
            stream.write_all(b"$100\r\nhalf of").await.ok()?;
            std::future::pending().await
        }
        Behaviour::Nonsense => Some("<html>\r\n\r\n".to_owned()),
        Behaviour::Endless => {
            stream.write_all(b"$536870912\r\n").await.ok()?;
            loop {
                stream.write_all(&[b'x'; 4_096]).await.ok()?;
            }
        }
        Behaviour::OtherType => Some("*2\r\n:1\r\n%1\r\n+a\r\n#t\r\n".to_owned()),
        Behaviour::HangUp | Behaviour::Outdated => None,
    }
}

/// A command as an array of texts.
async fn read_command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = read_number(stream, '*').await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = read_number(stream, '$').await?;
        let mut word = vec![0; length + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word[..length]).into_owned());
    }
    Some(words)
}

async fn read_number(stream: &mut BufReader<TcpStream>, kind: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}
