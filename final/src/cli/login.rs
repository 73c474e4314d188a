//! `dockster login` and `dockster logout`: docker's own `config.json` is read and written,
//! so that who has logged in with the one is known to the other.

use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin};
use std::path::Path;

use anyhow::{Context, bail};
use ch05_lifecycle::pty::Raw;
use ch06_images::registry::{Credential, Keychain, Registries, verify};
use clap::Args;

use super::print;

/// Log in to a registry
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// The user
    #[arg(short, long)]
    username: Option<String>,
    /// The password; everybody on this machine can see it
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Take the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// `HOST[:PORT]` [default: Docker Hub]
    server: Option<String>,
}

/// Log out from a registry
#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// `HOST[:PORT]` [default: Docker Hub]
    server: Option<String>,
}

/// Asks the registry, and keeps what opens its door.
pub fn login(args: &LoginArgs, config_file: &Path) -> anyhow::Result<u8> {
    let domain = domain(args.server.as_deref());
    if args.password_stdin && args.username.is_none() {
        bail!("Must provide --username with --password-stdin");
    }
    if args.password.is_some() {
        eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let mut keychain = Keychain::open()?;
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ", false)?,
    };
    let secret = match (&args.password, args.password_stdin) {
        (Some(secret), _) => secret.clone(),
        (None, true) => from_stdin()?,
        (None, false) => ask("Password: ", true)?,
    };
    if user.is_empty() || secret.is_empty() {
        bail!("a user and a password are needed");
    }
    let credential = Credential::Password { user, secret };
    verify(&domain, &Registries::read(config_file)?, credential.clone())
        .with_context(|| format!("login to {domain}"))?;
    if keychain.store(&domain, &credential)? {
        eprintln!(
            "WARNING! Your password will be stored unencrypted in {}.\n\
             Configure a credential helper to remove this warning.",
            keychain.path().display()
        );
    }
    print("Login Succeeded\n")
}

/// Forgets it.
pub fn logout(args: &LogoutArgs) -> anyhow::Result<u8> {
    let domain = domain(args.server.as_deref());
    match Keychain::open()?.erase(&domain)? {
        true => print(&format!("Removing login credentials for {domain}\n")),
        false => print(&format!("Not logged in to {domain}\n")),
    }
}

/// The host, however somebody has written it.
fn domain(server: Option<&str>) -> String {
    let server = server.unwrap_or("docker.io");
    let server = server.split_once("://").map_or(server, |(_, rest)| rest);
    match server.split('/').next().unwrap_or(server) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

/// All of it, without the end of the line that `echo` adds.
fn from_stdin() -> anyhow::Result<String> {
    let mut secret = String::new();
    stdin().lock().take(64 << 10).read_to_string(&mut secret).context("read(0)")?;
    Ok(secret.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks on the terminal. What is secret is not shown.
fn ask(prompt: &str, secret: bool) -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        bail!("Error: Cannot perform an interactive login from a non TTY device");
    }
    eprint!("{prompt}");
    stderr().flush()?;
    if !secret {
        let mut line = String::new();
        stdin().lock().read_line(&mut line)?;
        return Ok(line.trim().to_owned());
    }
    let raw = Raw::stdin()?;
    let line = hidden(&mut stdin().lock());
    drop(raw);
    eprintln!();
    line
}

/// A line from a terminal that shows nothing, and whose keys mean nothing by themselves.
fn hidden(keys: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = Vec::new();
    for key in keys.bytes() {
        match key? {
            b'\r' | b'\n' => break,
            // Ctrl-C, and Ctrl-D on an empty line.
            3 => bail!("interrupted"),
            4 if line.is_empty() => break,
            8 | 127 => drop(line.pop()),
            key => line.push(key),
        }
    }
    String::from_utf8(line).context("the password is no UTF-8")
}
