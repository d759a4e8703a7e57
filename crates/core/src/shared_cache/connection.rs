//! The way to Redis: one server, the one that sentinels name, or a cluster, with one face.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::{Either, join_all, select};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    Pipeline, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode, Value,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::time::{Instant, timeout};

use crate::error::{Code, Error};
use crate::secret::Secret;
use crate::shared_cache::fault::Fault;
use crate::shared_cache::options::{Login, Node, RedisOptions, Topology};

/// How long one connection may take to be made, and the longest that a write waits for its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How long all of it may take: sentinels and nodes that hang are asked one after the other.
const PATIENCE_WITH_SEVERAL: Duration = Duration::from_secs(4);
/// How often a cluster's redirections are followed. More of them are a cluster that does not know itself.
const REDIRECTIONS: u32 = 3;

/// What an answer is, or what is wrong with it.
type Reply = Result<Value, Fault>;

/// A connection that many share. Cloning it is cheap.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Connection(..)")
    }
}

impl Connection {
    /// Runs the commands in one round trip, each with one key. One of them that fails does not take the others along.
    /// A cluster gets them one by one, because they belong to different nodes, but all at the same time.
    pub(super) async fn run(&self, commands: Vec<Cmd>) -> Vec<Reply> {
        match self {
            Self::Single(connection) => run_together(connection.clone(), commands).await,
            Self::Cluster(connection) => {
                join_all(commands.into_iter().map(|command| run_alone(connection.clone(), command))).await
            }
        }
    }

    /// The same, where the first `needed` answers count. In a cluster the others are at other nodes, one of which may
    /// hang: they are waited for a little longer, and then left out. A tenth of the time until `deadline` leaves the
    /// other nodes several times what they take, and the needed answers are there in time.
    pub(super) async fn run_until(
        &self,
        mut commands: Vec<Cmd>,
        needed: usize,
        deadline: Instant,
    ) -> Vec<Reply> {
        let Self::Cluster(_) = self else { return self.run(commands).await };
        let others = pin!(self.run(commands.split_off(needed.min(commands.len()))));
        let (mut replies, others) = match select(pin!(self.run(commands)), others).await {
            Either::Left((replies, others)) => {
                let grace = deadline.saturating_duration_since(Instant::now()) / 10;
                (replies, timeout(grace, others).await.unwrap_or_default())
            }
            Either::Right((others, replies)) => (replies.await, others),
        };
        replies.extend(others);
        replies
    }

    /// Has messages of `channel` arrive at the function that the connection was made with.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<(), Fault> {
        let outcome = match self.clone() {
            Self::Single(mut connection) => connection.subscribe(channel).await,
            Self::Cluster(mut connection) => connection.subscribe(channel).await,
        };
        outcome.map_err(|error| Fault::of(&error))
    }
}

async fn run_alone(mut connection: ClusterConnection, command: Cmd) -> Reply {
    judge(connection.req_packed_command(&command).await)
}

async fn run_together(mut connection: MultiplexedConnection, commands: Vec<Cmd>) -> Vec<Reply> {
    let count = commands.len();
    let mut pipeline = Pipeline::with_capacity(count);
    for command in commands {
        pipeline.add_command(command);
    }
    match connection.req_packed_commands(&pipeline, 0, count).await {
        Ok(values) if values.len() == count => values.into_iter().map(|value| judge(Ok(value))).collect(),
        Ok(_) => vec![Err(Fault::Failed); count],
        Err(error) => vec![Err(Fault::of(&error)); count],
    }
}

fn judge(value: RedisResult<Value>) -> Reply {
    match value {
        Ok(Value::ServerError(error)) => Err(Fault::of_server(&error)),
        Ok(value) => Ok(value),
        Err(error) => Err(Fault::of(&error)),
    }
}

/// Makes connections.
#[derive(Debug)]
pub(super) struct Connector {
    target: Target,
}

#[derive(Debug)]
enum Target {
    Standalone(Box<Client>),
    Sentinel(Box<Sentinels>),
    Cluster(Box<ClusterClient>),
}

#[derive(Debug)]
struct Sentinels {
    options: RedisOptions,
    master: String,
    login: Login,
    certificates: Option<TlsCertificates>,
}

impl Connector {
    /// Connects to nothing yet. With TLS it reads the machine's trusted roots, which takes some milliseconds.
    pub(super) fn new(options: &RedisOptions, extra_roots: Option<&str>) -> Result<Self, Error> {
        let certificates = options.tls.then(|| certificates(options.authority.as_deref(), extra_roots));
        let target = match &options.topology {
            Topology::Standalone => {
                standalone(options, certificates).map(|client| Target::Standalone(Box::new(client)))
            }
            Topology::Cluster => {
                cluster(options, certificates).map(|client| Target::Cluster(Box::new(client)))
            }
            Topology::Sentinel { master, login } => Ok(Target::Sentinel(Box::new(Sentinels {
                options: options.clone(),
                master: master.clone(),
                login: login.clone(),
                certificates,
            }))),
        };
        // The client's own message may show the URL.
        let target = target
            .map_err(|_| Error::new(Code::Option, "`redis` has servers that cannot be connected to"))?;
        Ok(Self { target })
    }

    /// Whether there is one server only, so that a connection that breaks is the connection.
    pub(super) fn is_single(&self) -> bool {
        !matches!(self.target, Target::Cluster(_))
    }

    /// Whether the server was named, so that another connection leads to the same one, unless the name has moved.
    pub(super) fn is_standalone(&self) -> bool {
        matches!(self.target, Target::Standalone(_))
    }

    /// Connects, greets and logs in. `on_push` gets messages, and the news that the connection broke.
    pub(super) async fn connect(
        &self,
        on_push: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
    ) -> Result<Connection, Fault> {
        let patience = match self.target {
            Target::Standalone(_) => PATIENCE,
            Target::Sentinel(_) | Target::Cluster(_) => PATIENCE_WITH_SEVERAL,
        };
        match timeout(patience, self.connect_at_all(on_push)).await {
            Ok(connection) => connection.map_err(|error| Fault::of(&error)),
            Err(_) => Err(Fault::Slow),
        }
    }

    async fn connect_at_all(
        &self,
        on_push: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        match &self.target {
            Target::Standalone(client) => {
                let config = config.set_push_sender(on_push);
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
            }
            Target::Sentinel(sentinels) => {
                let config = config.set_push_sender(on_push);
                // Made anew, so that no connection to a sentinel is kept that may have died since.
                let mut client = sentinels.client()?;
                client.get_async_connection_with_config(&config).await.map(Connection::Single)
            }
            Target::Cluster(client) => {
                let config = ClusterConfig::new()
                    .set_connection_timeout(PATIENCE / 2)
                    .set_response_timeout(PATIENCE)
                    .set_push_sender(on_push);
                client.get_async_connection_with_config(config).await.map(Connection::Cluster)
            }
        }
    }
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn address(node: &Node, tls: bool) -> ConnectionAddr {
    let (host, port) = (node.host.clone(), node.port);
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

fn addresses(options: &RedisOptions) -> impl Iterator<Item = ConnectionAddr> {
    options.nodes.iter().map(|node| address(node, options.tls))
}

fn connection_info(address: ConnectionAddr, options: &RedisOptions) -> RedisResult<ConnectionInfo> {
    let mut settings = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(i64::from(options.database))
        .set_skip_set_lib_name();
    if let Some(username) = &options.login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &options.login.password {
        settings = settings.set_password(password.expose());
    }
    Ok(address.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

fn standalone(options: &RedisOptions, certificates: Option<TlsCertificates>) -> RedisResult<Client> {
    let first = addresses(options).next().ok_or((ErrorKind::InvalidClientConfig, "no server is named"))?;
    let info = connection_info(first, options)?;
    match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

fn cluster(options: &RedisOptions, certificates: Option<TlsCertificates>) -> RedisResult<ClusterClient> {
    let nodes: Vec<_> =
        addresses(options).map(|node| connection_info(node, options)).collect::<RedisResult<_>>()?;
    let mut builder = ClusterClient::builder(nodes)
        .use_protocol(ProtocolVersion::RESP3)
        .database_id(i64::from(options.database))
        .retries(REDIRECTIONS)
        .min_retry_wait(5)
        .max_retry_wait(20)
        .tcp_settings(tcp_settings());
    if let Some(username) = &options.login.username {
        builder = builder.username(username);
    }
    if let Some(password) = &options.login.password {
        builder = builder.password(password.expose());
    }
    if let Some(certificates) = certificates {
        builder = builder.tls(TlsMode::Secure).certs(certificates);
    }
    builder.build()
}

impl Sentinels {
    fn client(&self) -> RedisResult<SentinelClient> {
        let options = &self.options;
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(addresses(options), &self.master, kind)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(i64::from(options.database))
            .set_client_to_redis_tcp_settings(tcp_settings());
        if let Some(username) = &options.login.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &options.login.password {
            builder = builder.set_client_to_redis_password(password.expose());
        }
        if let Some(username) = &self.login.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = self.login.password.as_ref().map(Secret::expose) {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()
    }
}

/// The roots that the provider is trusted by, and the `authority` of the options. The client takes them as PEM only.
fn certificates(authority: Option<&str>, extra_roots: Option<&str>) -> TlsCertificates {
    let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
    let system = rustls_native_certs::load_native_certs().certs;
    let written = [authority, extra_roots].into_iter().flatten();
    let written =
        written.flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    let pem: String = bundled.chain(system).chain(written).filter(is_usable).map(|der| pem(&der)).collect();
    TlsCertificates { client_tls: None, root_cert: Some(pem.into_bytes()) }
}

/// The client refuses all roots when it cannot read one of them, and machines have some odd ones.
fn is_usable(certificate: &CertificateDer<'_>) -> bool {
    rustls::RootCertStore::empty().add(certificate.clone()).is_ok()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        BASE64_STANDARD.encode(certificate)
    )
}
