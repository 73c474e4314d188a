//! Tokens, and certificates: a real registry that believes only a token server of ours,
//! and one that speaks TLS behind a proxy of ours, since no name of the tests' has an address.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use dockster_tests::{Failed, Need, Run, Trial};
use serde_json::json;

use crate::images::{copy as skopeo, layout, umoci};
use crate::server::{REGISTRY, Server};
use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    let needs = [&REGISTRY[..], &[Need::Program("openssl")]].concat();
    vec![
        beside("a_token_opens_the_door", &needs, a_token_opens_the_door),
        beside("certificates_are_checked", &needs, certificates_are_checked),
    ]
}

const USER: &str = "someone:secret";

fn openssl(dir: &Path, words: &str) -> Result<(), Failed> {
    Run::new("openssl").args(words.split_whitespace()).dir(dir).success().map(drop)
}

/// `cert.pem` and `key.pem` for a host, signed by an authority, `ca.pem`.
fn certificate(dir: &Path, host: &str) -> Result<(), Failed> {
    let new = "-newkey rsa:2048 -nodes";
    openssl(dir, &format!("req -x509 {new} -keyout ca.key -out ca.pem -days 2 -subj /CN=tests"))?;
    openssl(dir, &format!("req -new {new} -keyout key.pem -out request -subj /CN={host}"))?;
    fs::write(dir.join("extensions"), format!("subjectAltName=DNS:{host}\n"))?;
    let sign = "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem";
    openssl(dir, &format!("{sign} -days 2 -extfile extensions"))
}

/// A token (a JWT) that lets its bearer do `actions` in a repository.
fn token(dir: &Path, service: &str, scope: &str) -> Result<String, Failed> {
    let pem = fs::read_to_string(dir.join("cert.pem"))?;
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let head = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut access = Vec::new();
    if let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] {
        let actions: Vec<_> = actions.split(',').collect();
        access.push(json!({"type": kind, "name": name, "actions": actions}));
    }
    let claims = json!({"iss": "tests", "sub": "someone", "aud": service, "jti": "1",
        "exp": now + 600, "nbf": now - 60, "iat": now - 60, "access": access});
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(head), part(claims));
    let name = format!("to-sign-{:?}", thread::current().id()).replace(['(', ')'], "");
    fs::write(dir.join(&name), &signed)?;
    openssl(dir, &format!("dgst -sha256 -sign key.pem -out {name}.sig {name}"))?;
    let signature = fs::read(dir.join(format!("{name}.sig")))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A server that gives tokens: to anybody for pulling, to USER for all. What it is asked
/// comes out of the channel.
fn token_server(dir: &Path) -> Result<(String, Receiver<String>), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let (sender, asked) = channel();
    let dir = dir.to_owned();
    thread::spawn(move || {
        // It ends with the tests: nobody waits for it.
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok((line, authorization, mut stream)) = question(stream) else { continue };
            let known = format!("Basic {}", STANDARD.encode(USER));
            let query = line.split(' ').nth(1).and_then(|path| path.split_once('?'));
            let decoded = query.map_or("", |(_, q)| q).replace("%3A", ":").replace("%2F", "/");
            let decoded = decoded.replace("%2C", ",");
            let field = |name: &str| {
                let mut all = decoded.split('&').filter_map(|pair| pair.split_once('='));
                all.find(|(n, _)| *n == name).map_or(String::new(), |(_, v)| v.to_owned())
            };
            let mut scope = field("scope");
            let answer = match authorization.as_deref() {
                Some(other) if other != known => Err("401 Unauthorized"),
                None => {
                    scope = scope.replace(",push", "");
                    Ok(())
                }
                Some(_) => Ok(()),
            };
            let body = answer.and_then(|()| {
                token(&dir, &field("service"), &scope).map_err(|_| "500 Internal Server Error")
            });
            let (status, body) = match body {
                Ok(token) => ("200 OK", json!({"token": token}).to_string()),
                Err(status) => (status, String::new()),
            };
            let _ = sender.send(line);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok((address, asked))
}

/// The first line, and who it is.
fn question(stream: TcpStream) -> std::io::Result<(String, Option<String>, TcpStream)> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut authorization) = (String::new(), None);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("authorization") {
            authorization = Some(value.to_owned());
        }
    }
    Ok((first.trim().to_owned(), authorization, stream))
}

fn a_token_opens_the_door() -> Result<(), Failed> {
    let house = House::empty();
    let dir = house.join("keys");
    fs::create_dir(&dir)?;
    certificate(&dir, "tests")?;
    let (address, asked) = token_server(&dir)?;
    let server = Server::new(&format!(
        "auth: {{token: {{realm: 'http://{address}/token', service: here, issuer: tests, \
         rootcertbundle: {}}}}}",
        dir.join("ca.pem").display()
    ))?;
    let made = umoci(&house)?;
    let image = format!("{}/team/app:1", server.address);
    skopeo(&layout(&made, "app"), &format!("docker://{image}"), &["--dest-creds", USER])?;
    let before = asked.try_iter().count();
    assert!(before > 0, "the registry wants no tokens");

    // Anybody may pull: one token for all of it.
    let config = house.join("config");
    let user = |words: &[&str]| house.dockster(words.iter().copied()).env("DOCKER_CONFIG", &config);
    user(&["pull", &image]).success()?;
    let tokens: Vec<_> = asked.try_iter().collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert_eq!(house.run(["--pull", "never", &image]).success()?.stdout, "marked\n");
    // But not push.
    let own = format!("{}/team/own:1", server.address);
    house.dockster(["import"]).arg(house.join("tree")).arg(&own).success()?;
    let done = user(&["push", &own]).code(1)?;
    one_sentence(&done, "")?;
    done.complains("dockster login")?;
    let login = ["login", "-u", "someone", "--password-stdin", &server.address];
    one_sentence(&user(&login).input("wrong").code(1)?, "401")?;
    user(&login).input("secret").success()?.says("Login Succeeded")?;
    user(&["push", &own]).success()?;
    user(&["rmi", &own]).success()?;
    user(&["pull", &own]).success()?;
    house.nothing_left()
}

/// A proxy (HTTP CONNECT) that knows one host: `registry.example` is `target`.
fn proxy(target: String) -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let target = target.clone();
            thread::spawn(move || drop(tunnel(stream, &target)));
        }
    });
    Ok(address)
}

fn tunnel(mut client: TcpStream, target: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if !head.starts_with("CONNECT registry.example:443 ") {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || copy(&mut up, &mut down));
    copy(&mut server, &mut client)?;
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = upwards.join();
    Ok(())
}

fn certificates_are_checked() -> Result<(), Failed> {
    let house = House::empty();
    for (dir, host) in [("right", "registry.example"), ("wrong", "other.example")] {
        fs::create_dir(house.join(dir))?;
        certificate(&house.join(dir), host)?;
    }
    let made = umoci(&house)?;
    let serve = |dir: &str| {
        let dir = house.join(dir);
        let dir = dir.display();
        Server::new(&format!(
            "http: {{addr: '127.0.0.1:0', tls: {{certificate: {dir}/cert.pem, key: {dir}/key.pem}}}}"
        ))
    };
    let image = "registry.example/app:1";
    for (dir, trusted, words) in [
        ("right", "right", None),
        ("right", "wrong", Some("invalid peer certificate")),
        ("wrong", "wrong", Some("invalid peer certificate")),
    ] {
        let server = serve(dir)?;
        skopeo(&layout(&made, "app"), &format!("docker://{}/app:1", server.address), &[])?;
        let proxy = format!("http://{}", proxy(server.address.clone())?);
        let authority = house.join(trusted).join("ca.pem");
        let pull = |image: &str| {
            let run = house.dockster(["pull", image]).env("SSL_CERT_FILE", &authority);
            run.env("HTTPS_PROXY", &proxy).env("NO_PROXY", "").env("no_proxy", "")
        };
        match words {
            None => {
                pull(image).success()?;
                assert_eq!(house.run(["--pull", "never", image]).success()?.stdout, "marked\n");
                house.dockster(["rmi", image]).success()?;
            }
            Some(words) => {
                let done = pull(image).code(1)?;
                one_sentence(&done, words)?;
                done.complains("insecure-registries")?;
                let config = house.join("daemon.json");
                fs::write(&config, r#"{"insecure-registries": ["registry.example"]}"#)?;
                pull(image).env("DOCKSTER_CONFIG_FILE", &config).success()?;
                house.dockster(["rmi", image]).success()?;
            }
        }
        // What is on this machine needs no proof.
        house.dockster(["pull", &format!("{}/app:1", server.address)]).success()?;
    }
    house.nothing_left()
}
