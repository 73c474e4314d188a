//! Catalogue: not needed to understand the chapter.
//!
//! Asking a registry: in our name, wherever it sends us, as often as it makes sense.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ch01_clone::{Error, Result};
use ureq::http::{HeaderMap, Method, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, ResponseExt, SendBody};

use super::address::{bare, join, same_origin};
use super::config::{self, Endpoint, Registries};
use super::credentials::Credential;
use super::patience::{Fault, insist};
use super::refusal::{failed, is_certificate, is_passing, refused, shown};

/// As many detours as browsers and curl allow, about.
const REDIRECTS: usize = 10;

/// A registry, as one repository of it sees us. Shared by the threads of a transfer.
pub(crate) struct Client {
    pub(super) agent: Agent,
    /// `https://HOST[:PORT]`, or `http://`.
    pub(super) base: String,
    pub(super) insecure: bool,
    /// What a token is asked for: `repository:PATH:pull,push`, several with spaces between.
    pub(super) scope: Option<String>,
    pub(super) credential: Option<Credential>,
    /// The header that opens the door; a new one when it has become too old.
    pub(super) authorization: Mutex<Option<String>>,
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
            StatusCode::UNAUTHORIZED => self.authorize(answer.headers(), None),
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
        let shown = self.key();
        let mut answer = self.follow(request)?;
        if self.is_shut(&answer) {
            self.authorize(answer.headers(), shown.as_ref())?;
            answer = self.follow(request)?;
        }
        match answer.status() {
            status if status.is_success() || expected.contains(&status) => Ok(answer),
            // With a new key, too.
            _ if self.is_shut(&answer) => {
                Err(self.log_in_after(refused(&request.method, &request.url, answer)))
            }
            _ => Err(refused(&request.method, &request.url, answer)),
        }
    }

    /// Whether it is the registry itself that wants to know who we are. Where it has sent us
    /// to may say the same, and would hear what is only the registry's to know.
    fn is_shut(&self, answer: &Response<Body>) -> bool {
        answer.status() == StatusCode::UNAUTHORIZED
            && same_origin(&self.base, &answer.get_uri().to_string())
    }

    fn key(&self) -> Option<String> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes where the registry sends us. Not by ureq: it has to be sure that nobody but
    /// the registry sees what opens its door.
    pub(super) fn follow(&self, request: &Request<'_>) -> Result<Response<Body>, Fault> {
        let mut url = request.url.clone();
        for _ in 0..REDIRECTS {
            let answer = self.exchange(request, &url);
            let answer = answer.map_err(|error| failed(&request.method, &url, error))?;
            let again = matches!(answer.status().as_u16(), 307 | 308);
            let elsewhere = again || matches!(answer.status().as_u16(), 301..=303);
            // Of these three a browser makes a GET, whatever it was.
            if !elsewhere || !again && !matches!(request.method, Method::GET | Method::HEAD) {
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
            && let Some(value) = self.key()
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
