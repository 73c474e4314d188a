//! The health checks of a life: when to ask, and what becomes of the answers.
//!
//! Asking means to enter the container, which may take long, or for ever in one that
//! stands still. So a program of its own does that (`probe`), and the monitor only waits
//! for what it says, as it waits for everything else.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::monitor::Monitor;
use super::{probe, time};
use crate::engine::events;
use crate::engine::health::{Answer, HealthCheck, HealthStatus};

/// So much longer than the check may take, the probe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// When the next check is, or the one that is being made.
pub(super) struct Checks {
    check: HealthCheck,
    began: Instant,
    next: Instant,
    probe: Option<Probe>,
}

struct Probe {
    child: Child,
    said: ChildStdout,
    text: Vec<u8>,
    start: u64,
    most: Instant,
}

impl Checks {
    /// Of a container that has just been started.
    pub(super) fn new(check: HealthCheck) -> Self {
        let began = Instant::now();
        let next = began + check.pause(HealthStatus::Starting, Duration::ZERO);
        Self { check, began, next, probe: None }
    }

    /// How long until something is to be done, if nothing else happens.
    pub(super) fn due(&self) -> Duration {
        let when = self.probe.as_ref().map_or(self.next, |probe| probe.most);
        when.saturating_duration_since(Instant::now())
    }

    /// Where the answer comes from, while there is one to come.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.probe.as_ref().map(|probe| probe.said.as_fd())
    }

    /// Does what is due. A container that stands still is not asked.
    fn turn(&mut self, dir: &Path, paused: bool) -> Option<Answer> {
        if !self.due().is_zero() {
            return None;
        }
        match &mut self.probe {
            Some(probe) => {
                // What it has not said by now it will not say; its end is heard.
                let _ = probe.child.kill();
                probe.most += PATIENCE;
            }
            None if paused => self.next = Instant::now() + Duration::from_secs(1),
            None => match Probe::start(dir, &self.check) {
                Ok(probe) => self.probe = Some(probe),
                Err(error) => return Some(Answer::none(time::now(), error.to_string())),
            },
        }
        None
    }

    fn put_off(&mut self, status: HealthStatus) {
        self.next = Instant::now() + self.check.pause(status, self.began.elapsed());
    }
}

impl Probe {
    fn start(dir: &Path, check: &HealthCheck) -> std::io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg0(probe::NAME)
            .arg(dir)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let most = Instant::now() + check.timeout() + PATIENCE;
        Ok(Self { child, said, text: Vec::new(), start: time::now(), most })
    }

    /// Hears what it says; what that was, at its end.
    fn hear(&mut self, check: &HealthCheck) -> Option<Answer> {
        let mut bytes = [0; 1024];
        match self.said.read(&mut bytes) {
            Ok(count @ 1..) => {
                self.text.extend_from_slice(&bytes[..count]);
                return None;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return None,
            _ => {}
        }
        let _ = self.child.wait();
        let answer = serde_json::from_slice(&self.text);
        Some(answer.unwrap_or_else(|_| Answer::none(self.start, probe::too_long(check))))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// There was no answer, and why.
    pub(super) fn none(start: u64, why: String) -> Self {
        Self { start, end: time::now(), exit_code: -1, output: why }
    }
}

impl Monitor {
    /// Asks, if it is time.
    pub(super) fn check_health(&mut self) {
        let Some(checks) = self.checks.as_mut().filter(|_| self.ended.is_none()) else { return };
        if let Some(answer) = checks.turn(&self.dir, self.record.paused) {
            self.note_health(answer);
        }
    }

    /// Hears an answer.
    pub(super) fn hear_health(&mut self) {
        let Some(Checks { check, probe, .. }) = &mut self.checks else { return };
        let Some(answer) = probe.as_mut().and_then(|probe| probe.hear(check)) else { return };
        *probe = None;
        self.note_health(answer);
    }

    fn note_health(&mut self, answer: Answer) {
        let (Some(checks), Some(health)) = (&mut self.checks, &mut self.record.health) else {
            return;
        };
        let changed = health.hear(&checks.check, self.record.started, answer);
        let status = health.status;
        checks.put_off(status);
        self.save();
        if let Some(root) = self.dir.ancestors().nth(2).filter(|_| changed) {
            events::note(root, &self.record, &format!("health_status: {}", status.name()));
        }
    }
}
