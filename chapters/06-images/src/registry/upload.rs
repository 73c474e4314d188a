//! Catalogue: not needed to understand the chapter.
//!
//! One blob, to a registry: not at all if it is there, by name if it is in another of its
//! repositories, else all of its bytes (distribution-spec, "Pushing blobs").

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use ch01_clone::{Context, Error, Result};
use oci_spec::image::{Descriptor, Digest};
use ureq::http::{Method, Response, StatusCode, header};
use ureq::{Body, ResponseExt};

use super::client::{Client, Payload, Request};
use super::patience::{Fault, insist};
use super::{Progress, State};

/// Where blobs are sent to. Shared by the threads of a push.
pub(super) struct Target<'a> {
    client: &'a Client,
    repository: &'a str,
    /// In which other repository of the same registry a blob is.
    sources: &'a HashMap<Digest, String>,
    mounting: &'a (dyn Fn() -> Option<Client> + Sync),
    /// One that may read there, if it may; made when it is first needed.
    mounter: OnceLock<Option<Client>>,
}

impl<'a> Target<'a> {
    pub(super) fn new(
        client: &'a Client,
        repository: &'a str,
        sources: &'a HashMap<Digest, String>,
        mounting: &'a (dyn Fn() -> Option<Client> + Sync),
    ) -> Self {
        Self { client, repository, sources, mounting, mounter: OnceLock::new() }
    }

    /// Sees to it that the registry has a blob.
    pub(super) fn send(
        &self,
        blob: &Descriptor,
        path: &Path,
        progress: Progress<'_>,
    ) -> Result<()> {
        let (hex, digest) = (blob.digest().digest(), blob.digest());
        let url = self.client.url(&format!("/v2/{}/blobs/{digest}", self.repository));
        let there = self.client.ask(&Request::new(Method::HEAD, url), &[StatusCode::NOT_FOUND])?;
        if there.status() != StatusCode::NOT_FOUND {
            progress(hex, blob.size(), State::Exists);
            return Ok(());
        }
        if self.mount(digest) {
            progress(hex, blob.size(), State::Mounted);
            return Ok(());
        }
        let again = Cell::new(false);
        insist(|| self.upload(blob, path, progress, again.replace(true)))?;
        progress(hex, blob.size(), State::Done);
        Ok(())
    }

    fn uploads(&self) -> String {
        format!("/v2/{}/blobs/uploads/", self.repository)
    }

    /// Whether the registry has taken it from another of its repositories. If it will not,
    /// for whatever reason, it gets the bytes.
    fn mount(&self, digest: &Digest) -> bool {
        let Some(from) = self.sources.get(digest) else { return false };
        let Some(client) = self.mounter.get_or_init(self.mounting) else { return false };
        let url = client.url(&format!("{}?mount={digest}&from={from}", self.uploads()));
        let answer = client.once(&Request::new(Method::POST, url), &[]);
        // 202 is an upload that was begun, and is never to be ended.
        answer.is_ok_and(|answer| {
            answer.status() == StatusCode::CREATED && check(&answer, digest).is_ok()
        })
    }

    /// One attempt, from the first byte to the last.
    fn upload(
        &self,
        blob: &Descriptor,
        path: &Path,
        progress: Progress<'_>,
        again: bool,
    ) -> Result<(), Fault> {
        let begin = Request::new(Method::POST, self.client.url(&self.uploads()));
        let answer = self.client.once(&begin, &[])?;
        let place = self.client.location(&answer.get_uri().to_string(), answer.headers())?;
        let and = if place.contains('?') { '&' } else { '?' };
        let mut put = Request::new(Method::PUT, format!("{place}{and}digest={}", blob.digest()));
        put.headers.push((header::CONTENT_TYPE, "application/octet-stream".to_owned()));
        if again {
            // Who says no and hangs up while we speak is not heard. So this time we let it
            // speak first (RFC 9110, 10.1.1).
            put.headers.push((header::EXPECT, "100-continue".to_owned()));
        }
        let read = || -> Result<Box<dyn Read>> {
            let file = File::open(path).call(|| format!("open({path:?})"))?;
            let (hex, size) = (blob.digest().digest(), blob.size());
            Ok(Box::new(Told { file, sent: 0, hex, size, progress }))
        };
        put.payload = Payload::Bytes(blob.size(), &read);
        let answer = self.client.once(&put, &[])?;
        Ok(check(&answer, blob.digest())?)
    }
}

/// Whether what the registry says it has is what it was sent, if it says so.
pub(super) fn check(answer: &Response<Body>, digest: &Digest) -> Result<()> {
    let said = answer.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
    match said {
        Some(said) if said != digest.as_ref() => Err(Error::new(format!(
            "the registry has something else: {said:?}, and was sent {digest}"
        ))),
        _ => Ok(()),
    }
}

/// Tells how far it has been read.
struct Told<'a> {
    file: File,
    sent: u64,
    hex: &'a str,
    size: u64,
    progress: Progress<'a>,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.sent += got as u64;
        (self.progress)(self.hex, self.size, State::Moved(self.sent));
        Ok(got)
    }
}
