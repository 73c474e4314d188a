//! Catalogue: not needed to understand the chapter.
//!
//! One blob, from the registry to the disk: measured while it comes, and taken up again
//! where it broke off, in this pull or in a later one.
//!
//! ```text
//! ROOT/downloads/HEX.part     so far; locked while somebody fetches it
//! ROOT/downloads/HEX          all of it, and its digest is right
//! ```

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ch01_clone::{Context, Error, Result};
use oci_spec::image::Descriptor;
use sha2::{Digest as _, Sha256};
use ureq::http::{Method, Response, StatusCode, header};
use ureq::{Body, BodyReader};

use super::client::{Client, Request};
use super::patience::{Fault, Patience};
use super::refusal::failed;
use super::{Progress, State};
use crate::digest;
use crate::ingest::{self, Ingest};
use crate::space::{Limits, Space};

/// What is read at once; this much memory a layer takes on its way.
const BUFFER: usize = 256 << 10;

/// What all downloads of a pull share.
pub(crate) struct Downloads<'a> {
    pub(crate) client: &'a Client,
    pub(crate) repository: &'a str,
    pub(crate) dir: PathBuf,
    /// Where this pull has names of its own for what is here: nobody else removes them.
    pub(crate) ingest: &'a Ingest,
    pub(crate) progress: Progress<'a>,
    /// Another of them, or the unpacking, has failed: nobody needs the rest.
    pub(crate) stop: AtomicBool,
}

/// What is there of a blob.
struct Part {
    file: File,
    path: PathBuf,
    hash: Sha256,
    have: u64,
}

impl Downloads<'_> {
    /// Where a blob lies when all of it is here.
    pub(crate) fn whole(&self, blob: &Descriptor) -> PathBuf {
        self.dir.join(ingest::hex(blob.digest()))
    }

    /// This pull's own name for a blob.
    pub(crate) fn kept(&self, blob: &Descriptor) -> PathBuf {
        self.ingest.path().join(ingest::hex(blob.digest()))
    }

    /// Gives a blob that name. False: it is neither here nor in its place in the store; it
    /// may have been, and gone with another image.
    pub(crate) fn keep(&self, blob: &Descriptor, stored: &Path) -> Result<bool> {
        let to = self.kept(blob);
        // Another pull moves it from the one to the other.
        for from in [&self.whole(blob), stored] {
            match fs::hard_link(from, &to) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(true),
                linked => return linked.call(|| format!("link({from:?}, {to:?})")).map(|()| true),
            }
        }
        Ok(false)
    }

    /// Fetches a blob, or what is missing of it.
    ///
    /// `stored` is its place in the store, where another pull may have put it meanwhile.
    pub(crate) fn fetch(&self, blob: &Descriptor, stored: &Path) -> Result<()> {
        let hex = blob.digest().digest();
        let path = self.dir.join(format!("{hex}.part"));
        let Some(mut part) = Part::open(&path, [&self.whole(blob), stored])? else {
            (self.progress)(hex, blob.size(), State::Done);
            return Ok(());
        };
        let mut patience = Patience::default();
        while let Err(fault) = self.attempt(blob, &mut part) {
            let reached = part.have;
            // As long as it should be and yet not right, or longer: of no use.
            if part.have >= blob.size() {
                part.start_again()?;
            }
            patience.after(fault, reached)?;
        }
        part.file.sync_all().call(|| format!("fsync({path:?})"))?;
        let to = self.whole(blob);
        fs::rename(&path, &to).call(|| format!("rename({path:?}, {to:?})"))?;
        (self.progress)(hex, blob.size(), State::Done);
        Ok(())
    }

    fn attempt(&self, blob: &Descriptor, part: &mut Part) -> Result<(), Fault> {
        if part.have > blob.size() {
            return Err(Fault::passing(Error::new("more of a layer is here than there is of it")));
        }
        if part.have < blob.size() {
            self.receive(blob, part)?;
        }
        let got = digest::finish(part.hash.clone());
        match got == *blob.digest() {
            true => Ok(()),
            false => Err(Fault::passing(Error::new(format!(
                "the registry sent something else: {got}, and should have sent {}",
                blob.digest()
            )))),
        }
    }

    fn receive(&self, blob: &Descriptor, part: &mut Part) -> Result<(), Fault> {
        let mut request = Request::get(self.client.url(&format!(
            "/v2/{}/blobs/{}",
            self.repository,
            blob.digest()
        )));
        // ANCHOR: range
        if part.have > 0 {
            request.headers.push((header::RANGE, format!("bytes={}-", part.have)));
        }
        // ANCHOR_END: range
        let answer = self.client.once(&request, &[StatusCode::RANGE_NOT_SATISFIABLE])?;
        if answer.status() != StatusCode::PARTIAL_CONTENT || start_of(&answer) != Some(part.have) {
            // It does not know ranges, or has sent another one.
            part.start_again()?;
        }
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::PARTIAL_CONTENT if start_of(&answer) == Some(part.have) => {}
            status => return Err(Fault::passing(Error::new(format!("{}: {status}", request.url)))),
        }
        let left = blob.size() - part.have;
        if answer.body().content_length().is_some_and(|length| length != left) {
            return Err(Fault::passing(Error::new(format!(
                "{}: the registry's length of a layer is not that of the manifest",
                request.url
            ))));
        }
        let limit = left + 1;
        let body = answer.into_body().into_with_config().limit(limit).reader();
        self.copy(blob, part, body, &request.url)
    }

    fn copy(
        &self,
        blob: &Descriptor,
        part: &mut Part,
        mut body: BodyReader<'_>,
        url: &str,
    ) -> Result<(), Fault> {
        let mut space = Space::at(&part.file, Limits::default())?;
        let mut buffer = vec![0; BUFFER];
        while part.have < blob.size() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::new("given up, since another layer failed").into());
            }
            let got = match body.read(&mut buffer) {
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&Method::GET, url, error.into())),
            };
            if got == 0 {
                return Err(Fault::passing(Error::new(format!("GET {url}: cut off"))));
            }
            if got as u64 > blob.size() - part.have {
                part.start_again()?;
                return Err(Fault::passing(Error::new(format!("GET {url}: too long"))));
            }
            space.take(got as u64)?;
            part.add(&buffer[..got])?;
            (self.progress)(blob.digest().digest(), blob.size(), State::Moved(part.have));
        }
        Ok(())
    }
}

/// Where a part begins: `Content-Range: bytes 100-199/200`.
fn start_of(answer: &Response<Body>) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

impl Part {
    /// What is there, for us alone. `None`: somebody else has fetched all of it meanwhile.
    fn open(path: &Path, done: [&Path; 2]) -> Result<Option<Self>> {
        loop {
            if done.iter().any(|place| place.exists()) {
                return Ok(None);
            }
            let mut options = File::options();
            let options = options.create(true).truncate(false).read(true).write(true);
            let file = options.open(path).call(|| format!("open({path:?})"))?;
            file.lock().call(|| format!("flock({path:?})"))?;
            // Who had it before us may have finished: then this is no longer its name.
            let ours = file.metadata().call(|| format!("stat({path:?})"))?;
            if fs::metadata(path).is_ok_and(|there| there.ino() == ours.ino()) {
                // Or it was finished before we opened: what we have locked is a new file.
                if done.iter().any(|place| place.exists()) {
                    fs::remove_file(path).call(|| format!("unlink({path:?})"))?;
                    return Ok(None);
                }
                let mut part = Self { file, path: path.to_owned(), hash: Sha256::new(), have: 0 };
                part.measure()?;
                return Ok(Some(part));
            }
        }
    }

    /// Reads what an earlier pull has left.
    fn measure(&mut self) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let got = self.file.read(&mut buffer).call(|| format!("read({:?})", self.path))?;
            if got == 0 {
                return Ok(());
            }
            self.hash.update(&buffer[..got]);
            self.have += got as u64;
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .call(|| format!("write({:?})", self.path))
            .map_err(crate::space::explain)?;
        self.hash.update(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    fn start_again(&mut self) -> Result<()> {
        use std::io::Seek;
        self.file.set_len(0).call(|| format!("ftruncate({:?})", self.path))?;
        self.file.rewind().call(|| format!("lseek({:?})", self.path))?;
        (self.hash, self.have) = (Sha256::new(), 0);
        Ok(())
    }
}
