//! Real servers on free ports of loopback, which end with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Connection;
use tempfile::TempDir;
use tokio::time::Instant;

/// Longer than anything here takes; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const MISSING: &str = "`redis-server` cannot be started; install it (Debian: `apt-get install redis-server`)";

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    // Below the ports that the system gives to connections, so that nobody else gets it in between. Ten thousand
    // higher is the bus of a cluster.
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 8_000).unwrap();
    loop {
        let step = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let port = 11_000 + (first + step) % 8_000;
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

/// Waits until `is_so`.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One process. It is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    arguments: Vec<String>,
    directory: TempDir,
    process: Option<Child>,
}

impl Server {
    /// A server that keeps nothing on disk, with these options beside.
    pub(crate) fn start(options: &[&str]) -> Self {
        let server = Self::start_at(free_port(), options);
        server.wait();
        server
    }

    /// The same on a port, and without waiting for it.
    pub(crate) fn start_at(port: u16, options: &[&str]) -> Self {
        let standard = ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];
        Self::configure(port, "", [&standard, options].concat())
    }

    /// A sentinel that watches `master` under the name `main`.
    pub(crate) fn start_sentinel(master: &Self) -> Self {
        let configuration = format!(
            "sentinel monitor main 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n",
            master.port
        );
        let server = Self::configure(free_port(), &configuration, vec!["--sentinel"]);
        server.wait();
        server
    }

    fn configure(port: u16, configuration: &str, arguments: Vec<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Sentinels and nodes of a cluster write into their configuration, and into their directory.
        let place = directory.path().display();
        let configuration = format!("port {port}\nbind 127.0.0.1\ndir {place}\n{configuration}");
        std::fs::write(directory.path().join("redis.conf"), configuration).unwrap();
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let mut server = Self { port, arguments, directory, process: None };
        server.restart();
        server
    }

    /// Starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command.arg(self.directory.path().join("redis.conf")).args(&self.arguments);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(MISSING));
    }

    /// Gives it one more option from the next start on.
    pub(crate) fn add_option(&mut self, name: &str, value: &str) {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
    }

    pub(crate) fn wait(&self) {
        wait_until("the server answers", || self.answers());
    }

    pub(crate) fn answers(&self) -> bool {
        self.try_connect().is_some_and(|mut connection| {
            let reply = redis::cmd("PING").query::<String>(&mut connection);
            reply.is_ok_and(|reply| reply == "PONG")
        })
    }

    fn try_connect(&self) -> Option<Connection> {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection_with_timeout(Duration::from_millis(500)).ok()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("the server answers")
    }

    /// Runs one command, with its arguments separated by blanks.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query(&mut self.connect()).unwrap()
    }

    /// Writes an entry that lives for so many milliseconds.
    pub(crate) fn set(&self, key: &str, value: impl redis::ToSingleRedisArg, lifetime: u64) {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value).arg("PX").arg(lifetime);
        command.exec(&mut self.connect()).unwrap();
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        redis::cmd("GET").arg(key).query(&mut self.connect()).unwrap()
    }

    /// How many connections others have to it.
    pub(crate) fn clients(&self) -> usize {
        self.run::<String>("CLIENT LIST").lines().count() - 1
    }

    /// Stops it in the middle of what it does. Connections stay open, and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
