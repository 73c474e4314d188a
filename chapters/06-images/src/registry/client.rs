//! Asking a registry: who we are, where it sends us, and what its answers mean.

use std::io::{ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ch01_clone::{Error, Result};
use serde::Deserialize;
use ureq::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

use super::challenge::{self, Challenge};
use super::config::{self, Endpoint, Registries};
use super::credentials::{Credential, basic};
use super::patience::{Fault, insist};

/// As many detours as browsers and curl allow, about.
const REDIRECTS: usize = 10;

/// A registry, as one repository of it sees us. Shared by the threads of a transfer.
pub(crate) struct Client {
    agent: Agent,
    /// `https://HOST[:PORT]`, or `http://`.
    base: String,
    insecure: bool,
    /// What a token is asked for: `repository:PATH:pull,push`.
    scope: Option<String>,
    credential: Option<Credential>,
    /// The header that opens the door; a new one when it has become too old.
    authorization: Mutex<Option<String>>,
}

/// What is sent along.
pub(crate) enum Payload<'a> {
    Nothing,
    /// A reader of so many bytes, made anew for each attempt.
    Bytes(u64, &'a dyn Fn() -> Result<Box<dyn Read + 'a>>),
}

/// A question.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(header::HeaderName, String)>,
    pub(crate) payload: Payload<'a>,
}

impl Request<'_> {
    pub(crate) fn new(method: Method, url: String) -> Self {
        Self { method, url, headers: Vec::new(), payload: Payload::Nothing }
    }

    pub(crate) fn get(url: String) -> Self {
        Self::new(Method::GET, url)
    }
}

impl Client {
    /// Knocks, and finds out by which protocol and as whom we may come in.
    pub(crate) fn connect(
        endpoint: &Endpoint,
        registries: &Registries,
        scope: Option<String>,
        credential: Option<Credential>,
    ) -> Result<Self> {
        let mut client = Self {
            agent: agent(endpoint, registries.timeout()),
            base: endpoint.base.clone(),
            insecure: endpoint.insecure,
            scope,
            credential,
            authorization: Mutex::default(),
        };
        let knock = Request::get(client.url("/v2/"));
        if let (true, Some(host)) = (endpoint.insecure, endpoint.base.strip_prefix("https://"))
            && client.exchange(&knock, &knock.url).is_err()
        {
            client.base = format!("http://{host}");
        }
        insist(|| client.enter())?;
        Ok(client)
    }

    fn enter(&self) -> Result<(), Fault> {
        let knock = Request::get(self.url("/v2/"));
        let answer = self.exchange(&knock, &knock.url).map_err(|error| match error {
            // One that is not there at all: nobody wants to wait.
            ureq::Error::Io(io) if !is_passing(io.kind()) && !is_certificate(&io) => {
                Fault::Final(crate::moving(&shown(&knock.method, &knock.url), io))
            }
            error => failed(&knock.method, &knock.url, error),
        })?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => self.authorize(answer.headers()),
            status if status.is_success() => Ok(()),
            _ => Err(refused(&knock.method, &knock.url, answer)),
        }
    }

    /// An address at this registry.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Asks, and asks again as long as it makes sense. An answer is a success, or one
    /// of `expected`.
    pub(crate) fn ask(
        &self,
        request: &Request<'_>,
        expected: &[StatusCode],
    ) -> Result<Response<Body>> {
        insist(|| self.once(request, expected))
    }

    /// Asks once; shows who we are a second time if the token has become too old.
    pub(crate) fn once(
        &self,
        request: &Request<'_>,
        expected: &[StatusCode],
    ) -> Result<Response<Body>, Fault> {
        let mut answer = self.follow(request)?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.authorize(answer.headers())?;
            answer = self.follow(request)?;
        }
        match answer.status() {
            status if status.is_success() || expected.contains(&status) => Ok(answer),
            _ => Err(refused(&request.method, &request.url, answer)),
        }
    }

    /// Goes where the registry sends us. Not by ureq: it has to be sure that nobody but
    /// the registry sees what opens its door.
    fn follow(&self, request: &Request<'_>) -> Result<Response<Body>, Fault> {
        let mut url = request.url.clone();
        for _ in 0..REDIRECTS {
            let answer = self.exchange(request, &url);
            let answer = answer.map_err(|error| failed(&request.method, &url, error))?;
            let elsewhere = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !elsewhere || !matches!(request.method, Method::GET | Method::HEAD) {
                return Ok(answer);
            }
            let next = self.location(&url, answer.headers())?;
            url = next;
        }
        Err(Error::new(format!("{}: redirected too often", shown(&request.method, &url))).into())
    }

    /// Where an answer to `url` points to. Never from TLS to none.
    pub(crate) fn location(&self, url: &str, headers: &HeaderMap) -> Result<String> {
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location
            .ok_or_else(|| Error::new(format!("{}: sent elsewhere, but not where", bare(url))))?;
        let next = join(url, location);
        if next.starts_with("http://") && url.starts_with("https://") && !self.insecure {
            return Err(Error::new(format!("{}: sent to {} without TLS", bare(url), bare(&next))));
        }
        Ok(next)
    }

    /// One question to one address, without a look at the answer.
    fn exchange(&self, request: &Request<'_>, url: &str) -> Result<Response<Body>, ureq::Error> {
        let mut builder = ureq::http::Request::builder().method(&request.method).uri(url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if same_origin(&self.base, url)
            && let Some(value) = &*self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
        {
            builder = builder.header(header::AUTHORIZATION, value);
        }
        match &request.payload {
            Payload::Nothing if matches!(request.method, Method::POST | Method::PUT) => {
                let builder = builder.header(header::CONTENT_LENGTH, 0);
                self.agent.run(builder.body(SendBody::from_owned_reader(std::io::empty()))?)
            }
            Payload::Nothing => self.agent.run(builder.body(())?),
            Payload::Bytes(length, reader) => {
                let mut reader = reader().map_err(std::io::Error::other)?;
                let builder = builder.header(header::CONTENT_LENGTH, *length);
                self.agent.run(builder.body(SendBody::from_reader(&mut reader))?)
            }
        }
    }

    /// Gets what opens the door, as one of the challenges wants it.
    fn authorize(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let asked = headers.get_all(header::WWW_AUTHENTICATE);
        let asked = asked.iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<_> = asked.flat_map(challenge::parse).collect();
        let find = |scheme| challenges.iter().find(|c| c.scheme == scheme);
        let value = match (find("bearer"), find("basic"), &self.credential) {
            (Some(bearer), _, _) => format!("Bearer {}", self.token(bearer)?),
            (_, Some(_), Some(Credential::Password { user, secret })) => basic(user, secret),
            (_, Some(_), _) => {
                return Err(self.log_in(Error::new("no basic auth credentials")).into());
            }
            _ => return Err(Error::new("unauthorized: the registry does not say how").into()),
        };
        let mut authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        if authorization.as_ref() == Some(&value) {
            let wrong = Error::new("unauthorized: incorrect username or password");
            return Err(self.log_in(wrong).into());
        }
        *authorization = Some(value);
        drop(authorization);
        match &self.scope {
            // Nobody has seen yet whether it opens: `login` wants to know.
            None => {
                let knock = Request::get(self.url("/v2/"));
                let answer = self.follow(&knock)?;
                match answer.status() {
                    status if status.is_success() => Ok(()),
                    StatusCode::UNAUTHORIZED => {
                        let wrong = Error::new("unauthorized: incorrect username or password");
                        Err(wrong.into())
                    }
                    _ => Err(refused(&knock.method, &knock.url, answer)),
                }
            }
            Some(_) => Ok(()),
        }
    }

    fn log_in(&self, error: Error) -> Error {
        let host = self.base.split_once("://").map_or("", |(_, host)| host);
        error.hint(format!("log in first: dockster login {host}"))
    }

    /// A token from where the registry says; it is another host mostly.
    fn token(&self, challenge: &Challenge) -> Result<String, Fault> {
        let realm = challenge.parameter("realm").unwrap_or("");
        if !realm.starts_with("https://") && (self.base.starts_with("https://") && !self.insecure)
            || !realm.starts_with("http")
        {
            return Err(
                Error::new(format!("tokens from {realm:?}: not an address with TLS")).into()
            );
        }
        let mut fields = Vec::new();
        fields.extend(challenge.parameter("service").map(|service| ("service", service)));
        fields.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let answer = match &self.credential {
            Some(Credential::IdentityToken(token)) => {
                fields.extend([("grant_type", "refresh_token"), ("client_id", "dockster")]);
                fields.push(("refresh_token", token));
                self.agent.post(realm).send_form(fields)
            }
            other => {
                let mut get = self.agent.get(realm);
                for (name, value) in fields {
                    get = get.query(name, value);
                }
                if let Some(Credential::Password { user, secret }) = other {
                    get = get.header(header::AUTHORIZATION, basic(user, secret));
                }
                get.call()
            }
        };
        let mut answer = answer.map_err(|error| failed(&Method::GET, realm, error))?;
        if !answer.status().is_success() {
            return Err(match refused(&Method::GET, realm, answer) {
                Fault::Final(error) => Fault::Final(self.log_in(error)),
                passing => passing,
            });
        }
        let text = answer.body_mut().with_config().limit(1 << 20).read_to_vec();
        let text = text.map_err(|error| failed(&Method::GET, realm, error))?;
        let token: Token = serde_json::from_slice(&text)
            .map_err(|error| Error::new(format!("tokens from {realm}: {error}")))?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        token.ok_or_else(|| Error::new(format!("tokens from {realm}: there is none")).into())
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn agent(endpoint: &Endpoint, silence: Duration) -> Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(endpoint.insecure)
        .build();
    let host = endpoint.base.split_once("://").map_or("", |(_, host)| host);
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(silence))
        .timeout_per_read(Some(silence))
        .timeout_per_write(Some(silence))
        .user_agent(concat!("dockster/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    // Nobody's proxy reaches what only this machine can.
    if config::is_loopback(host) {
        config = config.proxy(None);
    }
    config.build().into()
}

/// What went wrong before there was an answer.
pub(crate) fn failed(method: &Method, url: &str, error: ureq::Error) -> Fault {
    let what = shown(method, url);
    match error {
        ureq::Error::Io(error) if is_certificate(&error) => untrusted(&what, &error.to_string()),
        ureq::Error::Rustls(error) => untrusted(&what, &error.to_string()),
        // Ours, from a reader of ours.
        ureq::Error::Io(error) if error.get_ref().is_some_and(|e| e.is::<Error>()) => {
            Fault::Final(crate::moving(&what, error))
        }
        ureq::Error::Io(error) => Fault::passing(crate::moving(&what, error)),
        ureq::Error::Timeout(_) => {
            Fault::passing(Error::new(format!("{what}: the registry is silent")))
        }
        ureq::Error::HostNotFound => Fault::Final(Error::new(format!("{what}: no such host"))),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            Fault::Final(Error::new(format!("{what}: {error}")))
        }
        error => Fault::passing(Error::new(format!("{what}: {error}"))),
    }
}

/// Of a connection that there was, as against one that nobody accepts.
fn is_passing(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof].contains(&kind)
}

fn is_certificate(error: &std::io::Error) -> bool {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

fn untrusted(what: &str, why: &str) -> Fault {
    let error = Error::new(format!("{what}: {why}")).hint(
        "its certificate has to come from an authority of this machine's, \
         or its name has to stand under insecure-registries in daemon.json",
    );
    Fault::Final(error)
}

/// An answer that is none.
fn refused(method: &Method, url: &str, mut answer: Response<Body>) -> Fault {
    let status = answer.status();
    let seconds =
        answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    let text = answer.body_mut().with_config().limit(64 << 10).read_to_vec().unwrap_or_default();
    let error = Error::new(format!("{}: {}{status}", shown(method, url), said(&text)));
    match status.as_u16() {
        408 | 429 | 500 | 502..=504 => Fault::Passing(error, seconds.map(Duration::from_secs)),
        _ => Fault::Final(error),
    }
}

/// What a registry says of its refusal: `denied: requested access to the resource is denied`.
fn said(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        code: String,
        #[serde(default)]
        message: String,
    }
    let answer = serde_json::from_slice::<Answer>(text).ok();
    let first = answer.and_then(|answer| answer.errors.into_iter().next());
    let line = first.map(|item| {
        let code = item.code.to_lowercase().replace('_', " ");
        let line: String = format!("{code}: {}: ", item.message);
        // It is somebody else's text, and ends on a terminal.
        line.chars().filter(|c| !c.is_control()).take(300).collect()
    });
    line.unwrap_or_default()
}

fn shown(method: &Method, url: &str) -> String {
    format!("{method} {}", bare(url))
}

/// Without the query: what is signed lets in whoever reads it.
fn bare(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Scheme, host and port are the same.
fn same_origin(a: &str, b: &str) -> bool {
    let origin = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        let port = uri.port_u16().or(match uri.scheme_str()? {
            "https" => Some(443),
            _ => Some(80),
        });
        Some((uri.scheme_str()?.to_owned(), uri.host()?.to_ascii_lowercase(), port))
    };
    origin(a).is_some() && origin(a) == origin(b)
}

/// `location`, as it is meant in an answer to `url` (RFC 3986, as much as registries use).
fn join(url: &str, location: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let path_at = rest.find('/').unwrap_or(rest.len());
    if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", &rest[..path_at])
    } else {
        let path = bare(rest);
        let dir = path.rfind('/').map_or(path.len(), |at| at + 1);
        format!("{scheme}://{}{location}", &path[..dir])
    }
}

#[cfg(test)]
mod tests {
    use super::{join, same_origin};

    #[test]
    fn locations_are_joined() {
        let url = "https://a.example:5000/v2/x/uploads/?q=/1";
        for (location, joined) in [
            ("https://b.example/y", "https://b.example/y"),
            ("//b.example/y", "https://b.example/y"),
            ("/y?z=http://c", "https://a.example:5000/y?z=http://c"),
            ("y", "https://a.example:5000/v2/x/uploads/y"),
        ] {
            assert_eq!(join(url, location), joined);
        }
    }

    #[test]
    fn only_the_same_origin_is_the_same() {
        let same = ["https://a.example/", "https://A.example:443/x?y"];
        assert!(same.iter().all(|url| same_origin("https://a.example", url)));
        for other in [
            "http://a.example/",
            "https://a.example:444/",
            "https://a.example.evil/",
            "https://b.example/",
            "https://a.example@b.example/",
            "nonsense",
        ] {
            assert!(!same_origin("https://a.example", other), "{other}");
        }
    }
}
