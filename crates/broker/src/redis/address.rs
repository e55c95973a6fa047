//! The address of Redis, in its three forms: one server, a primary that sentinels know, or a cluster. Also the
//! certificates with which connections are made.

use std::path::Path;

use redis::TlsCertificates;
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError};

use super::config::RedisTls;
use crate::error::BrokerError;

/// How an address may look, for people.
const FORMS: &str = "use redis://[user:password@]host[:port][/database], \
                     redis+sentinel://[user:password@]host[:port],host[:port],…/name[/database] or \
                     redis+cluster://[user:password@]host[:port],host[:port],…, each with rediss instead of redis for TLS";
/// Where Redis and its sentinels listen if nothing else is said.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// How to speak to a server, wherever it is.
#[derive(Clone)]
pub(super) struct Dialer {
    info: ConnectionInfo,
    tls: Option<TlsCertificates>,
}

impl Dialer {
    /// A client of the server that the address names.
    pub(super) fn client(&self) -> Result<Client, RedisError> {
        self.open(self.info.clone())
    }

    /// A client with the same user, password, database and certificates of another server.
    pub(super) fn client_of(&self, host: &str, port: u16) -> Result<Client, RedisError> {
        let host = host.to_owned();
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.open(self.info.clone().set_addr(addr))
    }

    /// Host and port, for people.
    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }

    fn open(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        match &self.tls {
            Some(tls) => Client::build_with_tls(info, tls.clone()),
            None => Client::open(info),
        }
    }
}

/// Where the server is that takes the writes.
pub(super) enum Place {
    /// There.
    Server(Dialer),
    /// The sentinels know it by its name; it is spoken to like `primary`, which is at no place yet.
    Sentinels { members: Vec<Dialer>, name: String, primary: Dialer },
    /// Each slot has one; any of these knows the others.
    Cluster(Vec<Dialer>),
}

impl Place {
    /// Reads an address and the files of its certificates.
    pub(super) fn read(url: &str, tls: &RedisTls) -> Result<Self, BrokerError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| unreadable("it has no ://"))?;
        let (base, form) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(base, "redis" | "rediss") {
            return Err(unreadable("it begins with neither redis nor rediss"));
        }
        let tls = if base == "rediss" { Some(certificates(tls)?) } else { refuse_certificates(tls)? };
        let parts = Parts::of(rest);
        match form {
            "" => Ok(Self::Server(dialer(url, tls.as_ref())?)),
            "sentinel" => parts.sentinels(base, tls.as_ref()),
            "cluster" => parts.cluster(base, tls.as_ref()),
            other => Err(unreadable(&format!("`+{other}` is neither `+sentinel` nor `+cluster`"))),
        }
    }
}

/// An address with several hosts, in pieces.
struct Parts<'a> {
    /// With its `@`, or empty.
    user: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let path = path.split('/').filter(|part| !part.is_empty()).collect();
        Self { user, hosts: hosts.split(',').map(str::trim).collect(), path, query }
    }

    fn dialers(
        &self,
        base: &str,
        user: &str,
        port: u16,
        path: &str,
        tls: Option<&TlsCertificates>,
    ) -> Result<Vec<Dialer>, BrokerError> {
        let one = |host: &&str| {
            if host.is_empty() {
                return Err(unreadable("one of its hosts is empty"));
            }
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let host = if has_port { (*host).to_owned() } else { format!("{host}:{port}") };
            dialer(&format!("{base}://{user}{host}/{path}"), tls)
        };
        self.hosts.iter().map(one).collect()
    }

    fn sentinels(&self, base: &str, tls: Option<&TlsCertificates>) -> Result<Place, BrokerError> {
        let (name, database) = match self.path[..] {
            [name] => (name, "0"),
            [name, database] => (name, database),
            _ => return Err(unreadable("behind the sentinels belongs /name or /name/database")),
        };
        let (mut user, mut password) = ("", "");
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sentinel_user", value)) => user = value,
                Some(("sentinel_password", value)) => password = value,
                _ => return Err(unreadable("behind the ? it knows only sentinel_user=… and sentinel_password=…")),
            }
        }
        let user = if password.is_empty() { String::new() } else { format!("{user}:{password}@") };
        let members = self.dialers(base, &user, SENTINEL_PORT, "", tls)?;
        let primary = self.dialers(base, self.user, SENTINEL_PORT, database, tls)?.swap_remove(0);
        Ok(Place::Sentinels { members, name: name.to_owned(), primary })
    }

    fn cluster(&self, base: &str, tls: Option<&TlsCertificates>) -> Result<Place, BrokerError> {
        if !matches!(self.path[..], [] | ["0"]) || !self.query.is_empty() {
            return Err(unreadable("a cluster has only database 0; leave out what stands behind the hosts"));
        }
        Ok(Place::Cluster(self.dialers(base, self.user, PORT, "", tls)?))
    }
}

fn dialer(url: &str, tls: Option<&TlsCertificates>) -> Result<Dialer, BrokerError> {
    // The library's own text could repeat the address with its password.
    let info = url.into_connection_info().map_err(|_| unreadable("host, port or database is malformed"))?;
    let dialer = Dialer { info, tls: tls.cloned() };
    dialer.client().map_err(|error| BrokerError::Misconfigured(format!("the certificates for Redis: {error}")))?;
    Ok(dialer)
}

fn unreadable(problem: &str) -> BrokerError {
    BrokerError::Misconfigured(format!("the Redis address cannot be read: {problem}; {FORMS}"))
}

fn certificates(tls: &RedisTls) -> Result<TlsCertificates, BrokerError> {
    let root_cert = tls.ca_file.as_deref().map(|file| pem("redis_ca_file", file, "CERTIFICATE")).transpose()?;
    let client_tls = match (&tls.cert_file, &tls.key_file) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(ClientTlsConfig {
            client_cert: pem("redis_cert_file", cert, "CERTIFICATE")?,
            client_key: pem("redis_key_file", key, "PRIVATE KEY")?,
        }),
        _ => {
            let problem = "redis_cert_file and redis_key_file belong together; set both or neither";
            return Err(BrokerError::Misconfigured(problem.into()));
        }
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

/// Certificates that would silently not be used are a mistake.
fn refuse_certificates(tls: &RedisTls) -> Result<Option<TlsCertificates>, BrokerError> {
    let files = [("ca", &tls.ca_file), ("cert", &tls.cert_file), ("key", &tls.key_file)];
    match files.iter().find(|(_, file)| file.is_some()) {
        None => Ok(None),
        Some((name, _)) => {
            let problem = format!("redis_{name}_file is set, but the Redis address is not for TLS");
            Err(BrokerError::Misconfigured(format!("{problem}; begin it with rediss instead of redis")))
        }
    }
}

fn pem(setting: &str, file: &Path, holds: &str) -> Result<Vec<u8>, BrokerError> {
    let problem = match std::fs::read_to_string(file) {
        Ok(text) if text.contains(&format!("{holds}-----")) => return Ok(text.into_bytes()),
        Ok(_) => format!("holds no {holds} in PEM form"),
        Err(error) => format!("cannot be read: {error}"),
    };
    Err(BrokerError::Misconfigured(format!("{setting} {}: {problem}", file.display())))
}
