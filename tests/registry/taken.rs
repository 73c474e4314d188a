//! What was pushed to the registry of our own, and how it takes it.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::hostile::{Asked, Content, Sent, digest};

/// All of it, by repository and digest or tag.
#[derive(Clone, Default)]
pub struct Taken {
    pub blobs: HashMap<(String, String), Vec<u8>>,
    pub manifests: HashMap<(String, String), Vec<u8>>,
    /// Uploads that were begun, and not ended.
    open: HashSet<String>,
    begun: usize,
}

fn error(code: u16, name: &str) -> Sent {
    let text = json!({"errors": [{"code": name, "message": "it is so"}]});
    (code, vec![], text.to_string().into_bytes())
}

fn said(code: u16, headers: &[(&str, &str)]) -> Sent {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    (code, headers.iter().map(own).collect(), vec![])
}

/// Of `a=1&b=2`.
pub fn field(query: &str, name: &str) -> Option<String> {
    let mut all = query.split('&').filter_map(|pair| pair.split_once('='));
    all.find(|(n, _)| *n == name).map(|(_, value)| value.replace("%3A", ":"))
}

impl Taken {
    /// The answer to what has to do with pushing; none to all else.
    pub fn answer(&mut self, asked: &Asked, given: &[u8], content: &Content) -> Option<Sent> {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let rest = path.strip_prefix("/v2/")?;
        let (repository, what) =
            rest.split_once("/blobs/").or_else(|| rest.split_once("/manifests/"))?;
        let key = |name: &str| (repository.to_owned(), name.to_owned());
        match (&*asked.method, what) {
            ("POST", "uploads/") => Some(self.begin(repository, query, content)),
            ("PUT", upload) if path.contains("/blobs/uploads/") => {
                let wanted = field(query, "digest").unwrap_or_default();
                if !self.open.contains(upload) {
                    return Some(error(404, "BLOB_UPLOAD_UNKNOWN"));
                }
                if digest(given) != wanted {
                    return Some(error(400, "DIGEST_INVALID"));
                }
                self.open.remove(upload);
                self.blobs.insert(key(&wanted), given.to_owned());
                Some(said(201, &[("Docker-Content-Digest", &wanted)]))
            }
            ("PUT", tag) => Some(self.manifest(repository, tag, given)),
            ("HEAD", id) if path.contains("/blobs/") => {
                let there =
                    self.blobs.contains_key(&key(id)) || of_content(repository, id, content);
                Some(if there { said(200, &[]) } else { said(404, &[]) })
            }
            _ => None,
        }
    }

    fn begin(&mut self, repository: &str, query: &str, content: &Content) -> Sent {
        if let (Some(id), Some(from)) = (field(query, "mount"), field(query, "from"))
            && of_content(&from, &id, content)
        {
            self.blobs.insert((repository.to_owned(), id.clone()), content.blobs[&id].1.clone());
            return said(201, &[("Docker-Content-Digest", &id)]);
        }
        self.begun += 1;
        let name = format!("uploads/{}", self.begun);
        self.open.insert(name.clone());
        said(202, &[("Location", &format!("/v2/{repository}/blobs/{name}?state=kept"))])
    }

    /// Only if all is there that it lists.
    fn manifest(&mut self, repository: &str, tag: &str, given: &[u8]) -> Sent {
        let Ok(text) = serde_json::from_slice::<Value>(given) else {
            return error(400, "MANIFEST_INVALID");
        };
        let layers = text["layers"].as_array().cloned().unwrap_or_default();
        for part in layers.iter().chain([&text["config"]]) {
            let id = part["digest"].as_str().unwrap_or_default();
            if !self.blobs.contains_key(&(repository.to_owned(), id.to_owned())) {
                return error(404, "MANIFEST_BLOB_UNKNOWN");
            }
        }
        self.manifests.insert((repository.to_owned(), tag.to_owned()), given.to_owned());
        said(201, &[("Docker-Content-Digest", &digest(given))])
    }
}

fn of_content(repository: &str, id: &str, content: &Content) -> bool {
    repository == "app" && content.blobs.contains_key(id)
}
