//! A registry of our own: it has one image, takes others, writes down what it is asked, and
//! does to each answer whatever a test wants.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use dockster_tests::{Failed, Run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::taken::Taken;
use crate::tools::House;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What is served, by its digest, and what it calls itself.
#[derive(Clone, Default)]
pub struct Content {
    pub blobs: HashMap<String, (String, Vec<u8>)>,
    /// What the tag means.
    pub tag: String,
    /// The digests of the layers, the lowest first, and of the configuration.
    pub layers: Vec<String>,
    pub config: String,
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Content {
    /// An image that runs: a small root, a marker, and a layer of noise.
    pub fn new(house: &House) -> Result<Content, Failed> {
        let tree = house.tree()?;
        let pack = |dir: &str| -> Result<Vec<u8>, Failed> {
            let archive = house.join(&format!("{dir}.tar"));
            Run::new("tar")
                .arg("-cf")
                .arg(&archive)
                .arg("-C")
                .arg(house.join(dir))
                .arg(".")
                .success()?;
            Ok(fs::read(archive)?)
        };
        let mut layers = vec![pack(tree.file_name().and_then(|n| n.to_str()).unwrap_or("tree"))?];
        fs::create_dir_all(house.join("marker/etc"))?;
        fs::write(house.join("marker/etc/marker"), "marked\n")?;
        layers.push(pack("marker")?);
        fs::create_dir_all(house.join("noise/var"))?;
        let mut noise = vec![0; 3 << 20];
        fs::File::open("/dev/urandom")?.read_exact(&mut noise)?;
        fs::write(house.join("noise/var/noise"), noise)?;
        layers.push(pack("noise")?);
        let mut content = Content::default();
        let ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({"os": "linux", "architecture": arch,
            "config": {"Cmd": ["cat", "/etc/marker"]},
            "rootfs": {"type": "layers", "diff_ids": ids}});
        content.config = content.add("application/vnd.oci.image.config.v1+json", &config);
        for layer in layers {
            let id = digest(&layer);
            content.layers.push(id.clone());
            content.blobs.insert(id, ("application/vnd.oci.image.layer.v1.tar".into(), layer));
        }
        let manifest = content.manifest();
        content.tag = content.add(MANIFEST, &manifest);
        Ok(content)
    }

    /// Adds a text; its digest.
    pub fn add(&mut self, kind: &str, value: &Value) -> String {
        let bytes = serde_json::to_vec(value).expect("it is JSON");
        let id = digest(&bytes);
        self.blobs.insert(id.clone(), (kind.to_owned(), bytes));
        id
    }

    pub fn descriptor(&self, id: &str) -> Value {
        let (kind, bytes) = &self.blobs[id];
        json!({"mediaType": kind, "digest": id, "size": bytes.len()})
    }

    pub fn manifest(&self) -> Value {
        let layers: Vec<_> = self.layers.iter().map(|layer| self.descriptor(layer)).collect();
        json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.descriptor(&self.config), "layers": layers})
    }

    pub fn text(&self, id: &str) -> Value {
        serde_json::from_slice(&self.blobs[id].1).expect("it is JSON")
    }
}

/// A question, and how often this one came before.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub before: usize,
}

impl Asked {
    /// Where it wants to begin, if it does not want all.
    pub fn start(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }

    pub fn is(&self, id: &str) -> bool {
        self.path.ends_with(id)
    }
}

/// What is done to an answer.
pub enum Act {
    /// Nothing: it is right.
    Serve,
    /// Another one: status, headers, body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// After so many bytes of its body the connection ends.
    Cut(usize),
    /// After so many bytes nothing comes any more.
    Stall(usize),
    /// A byte of it is another.
    Flip(usize),
    /// All of it, whatever was asked for.
    IgnoreRange,
    /// It says that it has this length.
    Length(usize),
    /// Its body is this instead.
    Body(Vec<u8>),
    /// It is right, but for this header.
    Header(&'static str, String),
    /// It sends elsewhere than it would.
    Locate(Box<dyn Fn(&str) -> String>),
    /// After so many bytes of what is sent here the connection ends.
    HangUp(usize),
    /// After so many bytes of what is sent here nobody takes any more, nor says anything.
    Deaf(usize),
    /// Another answer, without a look at what is sent: status and body.
    Early(u16, Vec<u8>),
}

pub fn status(code: u16) -> Act {
    Act::Answer(code, vec![], vec![])
}

pub fn status_with(code: u16, name: &str, value: &str) -> Act {
    Act::Answer(code, vec![(name.to_owned(), value.to_owned())], vec![])
}

pub type Sent = (u16, Vec<(String, String)>, Vec<u8>);

type Plan = dyn Fn(&Asked) -> Act + Send + Sync;

struct Shared {
    content: Content,
    plan: Box<Plan>,
    asked: Mutex<Vec<Asked>>,
    taken: Mutex<Taken>,
    over: AtomicBool,
}

/// The registry; dropped, it ends.
pub struct Registry {
    pub address: String,
    shared: Arc<Shared>,
}

impl Registry {
    pub fn new(
        content: Content,
        plan: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Result<Registry, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let (asked, over) = (Mutex::default(), AtomicBool::new(false));
        let (taken, plan) = (Mutex::default(), Box::new(plan));
        let shared = Arc::new(Shared { content, plan, asked, taken, over });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ours.over.load(Ordering::SeqCst) {
                    return;
                }
                let ours = Arc::clone(&ours);
                // Who is cut off or gives up ends the thread, too.
                thread::spawn(move || drop(ours.answer(stream)));
            }
        });
        Ok(Registry { address, shared })
    }

    pub fn image(&self) -> String {
        format!("{}/app:1", self.address)
    }

    /// What it was asked so far, from the `from`th on.
    pub fn asked(&self, from: usize) -> Vec<Asked> {
        self.shared.asked.lock().expect("nobody panics with it")[from..].to_vec()
    }

    /// What was pushed here.
    pub fn taken(&self) -> Taken {
        self.shared.taken.lock().expect("nobody panics with it").clone()
    }

    /// How often something was asked for by GET.
    pub fn gets(&self, id: &str) -> usize {
        self.asked(0).iter().filter(|asked| asked.method == "GET" && asked.is(id)).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    /// One question, one answer, one connection.
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = Vec::new();
        reader.by_ref().take(8192).read_until(b'\n', &mut line)?;
        // Somebody tries TLS first.
        let Ok(line) = String::from_utf8(line) else { return Ok(()) };
        let mut words = line.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let asked = {
            let mut all = self.asked.lock().expect("nobody panics with it");
            let same = |other: &&Asked| other.method == method && other.path == path;
            let before = all.iter().filter(same).count();
            let (method, path) = (method.to_owned(), path.to_owned());
            all.push(Asked { method, path, headers, before });
            all[all.len() - 1].clone()
        };
        let act = (self.plan)(&asked);
        let Some(given) = self.given(&mut reader, &mut stream, &asked, &act)? else {
            return Ok(());
        };
        let (mut code, mut sent, mut body) = match &act {
            // It takes nothing then.
            Act::Answer(code, headers, text) => (*code, headers.clone(), text.clone()),
            Act::Early(code, text) => (*code, vec![], text.clone()),
            _ => self.right(&asked, &given),
        };
        if let (Act::Serve | Act::Cut(_) | Act::Stall(_) | Act::Flip(_), Some(start)) =
            (&act, asked.start())
            && code == 200
        {
            if start >= body.len() {
                (code, body) = (416, vec![]);
            } else {
                let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
                sent.push(("Content-Range".into(), range));
                (code, body) = (206, body.split_off(start));
            }
        }
        match &act {
            Act::Body(other) => body = other.clone(),
            Act::Locate(change) => {
                for (_, value) in sent.iter_mut().filter(|(name, _)| name == "Location") {
                    *value = change(value);
                }
            }
            Act::Header(name, value) => {
                sent.retain(|(other, _)| other != name);
                sent.push(((*name).to_owned(), value.clone()));
            }
            _ => {}
        }
        let length = if let Act::Length(length) = act { length } else { body.len() };
        let mut head =
            format!("HTTP/1.1 {code} Said\r\nContent-Length: {length}\r\nConnection: close\r\n");
        for (name, value) in sent {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if asked.method == "HEAD" {
            return Ok(());
        }
        match act {
            Act::Cut(at) => stream.write_all(&body[..at.min(body.len())]),
            Act::Stall(at) => {
                stream.write_all(&body[..at.min(body.len())])?;
                // Until they have had enough.
                stream.read(&mut [0]).map(drop)
            }
            Act::Flip(at) => {
                body[at] ^= 1;
                stream.write_all(&body)
            }
            _ => stream.write_all(&body),
        }
    }

    /// What is sent along; nothing if there is to be no answer.
    fn given(
        &self,
        reader: &mut impl Read,
        stream: &mut TcpStream,
        asked: &Asked,
        act: &Act,
    ) -> std::io::Result<Option<Vec<u8>>> {
        let length = asked.headers.get("content-length").and_then(|text| text.parse().ok());
        let mut given = Vec::new();
        let most = match act {
            Act::Early(..) => return Ok(Some(given)),
            Act::HangUp(most) | Act::Deaf(most) => *most as u64,
            _ => length.unwrap_or(0),
        };
        if asked.headers.contains_key("expect") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        reader.take(most).read_to_end(&mut given)?;
        while matches!(act, Act::Deaf(_)) && !self.over.load(Ordering::SeqCst) {
            thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok((!matches!(act, Act::HangUp(_) | Act::Deaf(_))).then_some(given))
    }

    /// What a good registry answers.
    fn right(&self, asked: &Asked, given: &[u8]) -> Sent {
        let taken = || self.taken.lock().expect("nobody panics with it");
        if let Some(answer) = taken().answer(asked, given, &self.content) {
            return answer;
        }
        let path = asked.path.split('?').next().unwrap_or("");
        let last = path.rsplit('/').next().unwrap_or("");
        let id = if asked.path.ends_with("/manifests/1") { &self.content.tag } else { last };
        match self.content.blobs.get(id) {
            _ if asked.path == "/v2/" => (200, vec![], b"{}".to_vec()),
            Some((kind, bytes)) => {
                let headers = [("Content-Type", kind.as_str()), ("Docker-Content-Digest", id)];
                let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
                (200, headers.to_vec(), bytes.clone())
            }
            None => {
                let text = json!({"errors": [{"code": "BLOB_UNKNOWN", "message": "unknown"}]});
                (404, vec![], text.to_string().into_bytes())
            }
        }
    }
}
