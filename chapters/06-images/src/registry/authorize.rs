//! Catalogue: not needed to understand the chapter.
//!
//! Getting what opens a registry's door: a password shown to it, or a token for one
//! repository from where it says.

use std::sync::PoisonError;

use ch01_clone::{Error, Result};
use serde::Deserialize;
use ureq::http::{HeaderMap, Method, StatusCode, header};

use super::challenge::{self, Challenge};
use super::client::{Client, Request};
use super::credentials::{Credential, basic};
use super::patience::Fault;
use super::refusal::{failed, refused};

impl Client {
    /// Gets what opens the door, as one of the challenges wants it, after what was shown did
    /// not. Meanwhile all others wait: with the old one they would only hear the same.
    pub(super) fn authorize(
        &self,
        headers: &HeaderMap,
        shown: Option<&String>,
    ) -> Result<(), Fault> {
        let mut authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        if authorization.as_ref() != shown {
            // Another thread was quicker.
            return Ok(());
        }
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

    /// What to try when the door stays shut.
    pub(super) fn log_in_after(&self, refusal: Fault) -> Fault {
        match refusal {
            Fault::Final(error) => Fault::Final(self.log_in(error)),
            passing => passing,
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
        let scopes = self.scope.iter().flat_map(|all| all.split(' '));
        fields.extend(scopes.map(|scope| ("scope", scope)));
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
            return Err(self.log_in_after(refused(&Method::GET, realm, answer)));
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
