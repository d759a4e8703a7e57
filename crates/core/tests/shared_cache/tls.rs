//! `rediss://`: who is trusted, and who is not.

use ip_risk_core::shared_cache::{CacheState, Fault};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::server::{Server, free_port};
use crate::world::World;

/// A server that speaks TLS for `127.0.0.1`, and the authority that vouches for it.
struct TlsServer {
    server: Server,
    port: u16,
    authority: String,
    _files: TempDir,
}

impl TlsServer {
    fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let server =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (certificate_file, key_file) =
            (write("server.crt", server.pem()), write("server.key", key.serialize_pem()));
        let port = free_port();
        let text = port.to_string();
        let options = [
            "--tls-port",
            &text,
            "--tls-cert-file",
            &certificate_file,
            "--tls-key-file",
            &key_file,
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            &certificate_file,
        ];
        Self { server: Server::start(&options), port, authority: certificate, _files: files }
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }
}

async fn is_away(world: World) -> Fault {
    world.until_given_up().await;
    let CacheState::Away { why, .. } = world.stats().state else { panic!("{:?}", world.stats()) };
    why
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_when_it_is_named() {
    let server = TlsServer::start();
    let world = World::new(&json!({ "url": server.url(), "tls": { "ca": server.authority } }));
    world.put("8.8.8.8", 42, world.now()).await;
    assert_eq!(world.fresh("8.8.8.8").await, Ok(Some(42)));
    assert!(server.server.get("ip-risk:8.8.8.8").is_some());
    let extra = World::with_roots(&json!(server.url()), Some(&server.authority));
    assert_eq!(extra.fresh("8.8.8.8").await, Ok(Some(42)), "as is one of `NODE_EXTRA_CA_CERTS`");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_trusted_and_nobody_under_another_name() {
    let (server, other) = (TlsServer::start(), TlsServer::start());
    assert_eq!(is_away(World::new(&json!(server.url()))).await, Fault::Tls);
    let wrong = json!({ "url": server.url(), "tls": { "ca": other.authority } });
    assert_eq!(is_away(World::new(&wrong)).await, Fault::Tls);
    let name = format!("rediss://localhost:{}", server.port);
    let wrong = json!({ "url": name, "tls": { "ca": server.authority } });
    assert_eq!(is_away(World::new(&wrong)).await, Fault::Tls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_spoken_to_and_one_with_tls_not_without() {
    let server = TlsServer::start();
    let why = is_away(World::new(&json!(format!("rediss://127.0.0.1:{}", server.server.port)))).await;
    assert!(matches!(why, Fault::Tls | Fault::Unreachable | Fault::Slow), "{why:?}");
    let why = is_away(World::new(&json!(format!("redis://127.0.0.1:{}", server.port)))).await;
    assert!(matches!(why, Fault::Unreachable | Fault::Failed | Fault::Slow), "{why:?}");
}
