//! Catalogue: not needed to understand the chapter.
//!
//! Who we are at which registry: docker's `config.json`, and the helpers it names.
//!
//! ```json
//! { "auths": { "registry.example": { "auth": "BASE64(USER:PASSWORD)" } },
//!   "credsStore": "HELPER", "credHelpers": { "other.example": "HELPER" } }
//! ```
//!
//! A helper is a program `docker-credential-HELPER` with the verbs get, store and erase
//! (docker/docker-credential-helpers). What else stands in the file stays as it is.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ch01_clone::{Context, Error, Result};
use serde_json::{Map, Value, json};

use crate::name::DOMAIN;

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password, or an access token in its place.
    Password {
        /// The user.
        user: String,
        /// The password.
        secret: String,
    },
    /// A token that a token server changes for others.
    IdentityToken(String),
}

/// Never shown, not even in a panic.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(...)")
    }
}

/// The file, as it was read.
#[derive(Debug)]
pub struct Keychain {
    path: PathBuf,
    config: Map<String, Value>,
}

/// Under which name docker keeps what belongs to a registry.
fn key(domain: &str) -> &str {
    match domain {
        DOMAIN => "https://index.docker.io/v1/",
        _ => domain,
    }
}

/// The header of Basic authentication (RFC 7617).
pub(crate) fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))
}

impl Keychain {
    /// The user's own: `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`.
    pub fn open() -> Result<Self> {
        let home = || std::env::var_os("HOME").unwrap_or_else(|| "/".into());
        let dir = std::env::var_os("DOCKER_CONFIG")
            .filter(|dir| !dir.is_empty())
            .map_or_else(|| Path::new(&home()).join(".docker"), PathBuf::from);
        Self::read(&dir.join("config.json"))
    }

    fn read(path: &Path) -> Result<Self> {
        // A link to elsewhere is meant: what is written goes there too.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let config = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::new(format!("{}: {error}", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(error).call(|| format!("open({path:?})")),
        };
        Ok(Self { path, config })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What there is for a registry.
    ///
    /// # Errors
    /// A helper fails, or the file holds nonsense.
    pub fn get(&self, domain: &str) -> Result<Option<Credential>> {
        if let Some(helper) = self.helper(domain)
            && let Some(found) = from_helper(helper, key(domain))?
        {
            return Ok(Some(found));
        }
        self.entry(domain).map_or(Ok(None), |(name, entry)| {
            from_entry(entry)
                .ok_or_else(|| Error::new(format!("{}: auths: {name}", self.path.display())))
        })
    }

    /// Keeps it: with a helper if there is one, else in the file, where everybody can
    /// read it who can read the file: then it is true.
    pub fn store(&mut self, domain: &str, credential: &Credential) -> Result<bool> {
        let (user, secret) = match credential {
            Credential::Password { user, secret } => (user.as_str(), secret.as_str()),
            Credential::IdentityToken(token) => ("<token>", token.as_str()),
        };
        if let Some(helper) = self.helper(domain) {
            let said = json!({"ServerURL": key(domain), "Username": user, "Secret": secret});
            return call(helper, "store", &said.to_string()).map(|_| false);
        }
        let entry = match credential {
            Credential::Password { .. } => {
                json!({"auth": STANDARD.encode(format!("{user}:{secret}"))})
            }
            Credential::IdentityToken(token) => json!({"identitytoken": token}),
        };
        let auths = self.config.entry("auths").or_insert_with(|| json!({}));
        let auths = auths.as_object_mut().ok_or_else(|| Error::new("auths is no object"))?;
        auths.insert(key(domain).to_owned(), entry);
        self.write().map(|()| true)
    }

    /// Forgets it; false if there was nothing.
    pub fn erase(&mut self, domain: &str) -> Result<bool> {
        let mut there = false;
        if let Some(helper) = self.helper(domain)
            && from_helper(helper, key(domain))?.is_some()
        {
            call(helper, "erase", key(domain))?;
            there = true;
        }
        if let Some(name) = self.entry(domain).map(|(name, _)| name.to_owned())
            && let Some(auths) = self.config.get_mut("auths").and_then(Value::as_object_mut)
        {
            auths.remove(&name);
            self.write()?;
            there = true;
        }
        Ok(there)
    }

    /// The helper that has what belongs to a registry.
    fn helper(&self, domain: &str) -> Option<&str> {
        let own = self.config.get("credHelpers").and_then(|helpers| helpers.get(key(domain)));
        let any = own.or_else(|| self.config.get("credsStore"));
        any.and_then(Value::as_str).filter(|helper| !helper.is_empty())
    }

    /// The entry in the file, whose name may also be an address: `https://HOST/v1/`.
    fn entry(&self, domain: &str) -> Option<(&str, &Value)> {
        let auths = self.config.get("auths")?.as_object()?;
        let host = |name: &str| {
            let name = name.split_once("://").map_or(name, |(_, rest)| rest).to_owned();
            name.split('/').next().unwrap_or("").replace("index.docker.io", DOMAIN)
        };
        let exact = auths.get_key_value(key(domain));
        let found = exact.or_else(|| auths.iter().find(|(name, _)| host(name) == domain));
        found.map(|(name, entry)| (name.as_str(), entry))
    }

    /// Whole or not at all, and for nobody else to read.
    fn write(&self) -> Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.call(|| format!("mkdir({dir:?})"))?;
        let new = dir.join(format!(".config.json.{}", std::process::id()));
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                serde_json::to_writer_pretty(&mut file, &self.config)?;
                file.write_all(b"\n")?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            // The first error is the one that says why.
            let _ = fs::remove_file(&new);
        }
        written.call(|| format!("write({:?})", self.path))
    }
}

/// `Some(None)` is an entry without a secret: docker leaves these beside a helper.
fn from_entry(entry: &Value) -> Option<Option<Credential>> {
    let field = |name| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = field("identitytoken") {
        return Some(Some(Credential::IdentityToken(token.to_owned())));
    }
    if let Some(auth) = field("auth") {
        let plain = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        let (user, secret) = plain.split_once(':')?;
        let secret = secret.trim_end_matches('\0').to_owned();
        return Some(Some(Credential::Password { user: user.to_owned(), secret }));
    }
    Some(field("username").zip(field("password")).map(|(user, secret)| Credential::Password {
        user: user.to_owned(),
        secret: secret.to_owned(),
    }))
}

fn from_helper(helper: &str, server: &str) -> Result<Option<Credential>> {
    let Some(answer) = call(helper, "get", server)? else { return Ok(None) };
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|error| Error::new(format!("docker-credential-{helper} get: {error}")))?;
    let field = |name| answer.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let (user, secret) = (field("Username"), field("Secret"));
    Ok(Some(match user.as_str() {
        "<token>" => Credential::IdentityToken(secret),
        _ => Credential::Password { user, secret },
    }))
}

/// Calls a helper. `None` if it has nothing for this registry.
fn call(helper: &str, verb: &str, input: &str) -> Result<Option<Vec<u8>>> {
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .call(|| format!("execve({program} {verb})"))?;
    let given = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input.as_bytes()));
    let done = child.wait_with_output().call(|| format!("wait({program} {verb})"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    match done.status.success() {
        true => given.call(|| format!("write({program} {verb})")).map(|()| Some(done.stdout)),
        false if verb == "get" && said.contains("credentials not found") => Ok(None),
        false => Err(Error::new(format!("{program} {verb}: {}: {}", done.status, said.trim()))),
    }
}
