//! Is it well? What a container is asked, and what its answers make of it.

use std::time::Duration;

use ch01_clone::{Error, Result};
use serde::{Deserialize, Serialize};

/// So many answers are kept.
const KEPT: usize = 5;

/// What is asked, and how often: docker's `Healthcheck`, as it stands in the
/// configuration of an image, too. Times are nanoseconds; 0 stands for the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `["CMD", PROGRAM, ARG...]`, `["CMD-SHELL", SCRIPT]`, or `["NONE"]`; empty: the image's.
    pub test: Vec<String>,
    /// From the end of one check to the next.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: u64,
    /// How long one may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// So long after the start a failure does not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: u64,
    /// From one check to the next, within that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    /// So many failures in a row make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
}

fn is_zero(number: &(impl Default + PartialEq)) -> bool {
    *number == Default::default()
}

/// The configuration of an image, as far as the OCI does not know it.
#[derive(Deserialize)]
struct Image {
    config: Option<ImageConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    healthcheck: Option<HealthCheck>,
}

impl HealthCheck {
    /// What the configuration of an image (JSON) asks for.
    pub fn of_image(config: &[u8]) -> Result<Option<Self>> {
        let image: Image = serde_json::from_slice(config)
            .map_err(|error| Error::new(format!("the image's configuration: {error}")))?;
        Ok(image.config.and_then(|config| config.healthcheck))
    }

    /// Of what is not to be asked.
    pub fn none() -> Self {
        Self { test: vec!["NONE".to_owned()], ..Self::default() }
    }

    /// What the user has said, and for the rest what the image says; `None` if nothing is
    /// to be asked.
    pub fn merge(user: Option<Self>, image: Option<Self>) -> Option<Self> {
        let merged = match (user, image) {
            (None, image) => image?,
            (Some(user), None) => user,
            (Some(user), Some(image)) => {
                let or = |ours, theirs| if ours == 0 { theirs } else { ours };
                Self {
                    test: if user.test.is_empty() { image.test } else { user.test },
                    interval: or(user.interval, image.interval),
                    timeout: or(user.timeout, image.timeout),
                    start_period: or(user.start_period, image.start_period),
                    start_interval: or(user.start_interval, image.start_interval),
                    retries: if user.retries == 0 { image.retries } else { user.retries },
                }
            }
        };
        merged.command().is_some().then_some(merged)
    }

    /// The program that asks, and its arguments.
    pub fn command(&self) -> Option<Vec<String>> {
        let (kind, words) = self.test.split_first()?;
        match kind.as_str() {
            "CMD" if !words.is_empty() => Some(words.to_vec()),
            "CMD-SHELL" => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), words.join(" ")]),
            _ => None,
        }
    }

    /// How long one check may take.
    pub fn timeout(&self) -> Duration {
        nanos(self.timeout, 30)
    }

    /// How long until the next one. `age`: of the container, since its start.
    pub fn pause(&self, status: HealthStatus, age: Duration) -> Duration {
        let starting = status == HealthStatus::Starting && age < nanos(self.start_period, 0);
        if starting { nanos(self.start_interval, 5) } else { nanos(self.interval, 30) }
    }
}

fn nanos(value: u64, default_seconds: u64) -> Duration {
    match value {
        0 => Duration::from_secs(default_seconds),
        nanos => Duration::from_nanos(nanos),
    }
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Not known yet.
    Starting,
    /// Its last answer was good.
    Healthy,
    /// Too many answers in a row were not, or it does not run.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What is known of a container's health.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How it is.
    pub status: HealthStatus,
    /// How many failures there were in a row.
    pub failing_streak: u32,
    /// The last answers, the newest last.
    pub log: Vec<Answer>,
}

/// One answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// When it was asked: nanoseconds since 1970.
    pub start: u64,
    /// When it had answered.
    pub end: u64,
    /// The exit status of the check; -1 if it had none.
    pub exit_code: i32,
    /// What the check has said.
    pub output: String,
}

impl Default for Health {
    fn default() -> Self {
        Self { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() }
    }
}

impl Health {
    /// Takes down an answer of a container that was started at `started`; whether that
    /// has changed how it is.
    pub fn hear(&mut self, check: &HealthCheck, started: u64, answer: Answer) -> bool {
        let before = self.status;
        let good = answer.exit_code == 0;
        let early = answer.start.saturating_sub(started) < check.start_period;
        if good {
            (self.failing_streak, self.status) = (0, HealthStatus::Healthy);
        } else if before != HealthStatus::Starting || !early {
            self.failing_streak += 1;
            let most = if check.retries == 0 { 3 } else { check.retries };
            if self.failing_streak >= most {
                self.status = HealthStatus::Unhealthy;
            }
        }
        self.log.push(answer);
        let old = self.log.len().saturating_sub(KEPT);
        self.log.drain(..old);
        self.status != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_image(config: &str) -> Option<HealthCheck> {
        HealthCheck::of_image(config.as_bytes()).expect("a configuration")
    }

    #[test]
    fn the_image_asks_unless_the_user_says_otherwise() {
        let text = r#"{"config":{"Healthcheck":
            {"Test":["CMD","ask","it"],"Interval":5000000000,"Retries":2}}}"#;
        let image = of_image(text);
        let merged = HealthCheck::merge(None, image.clone()).expect("a check");
        assert_eq!(merged.command(), Some(vec!["ask".to_owned(), "it".to_owned()]));
        let user = HealthCheck { timeout: 7, retries: 9, ..HealthCheck::default() };
        let merged = HealthCheck::merge(Some(user.clone()), image.clone()).expect("a check");
        let both = (merged.timeout, merged.retries, merged.interval);
        assert_eq!(both, (7, 9, 5_000_000_000));
        assert_eq!(merged.test, ["CMD", "ask", "it"]);
        let none = HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() };
        assert_eq!(HealthCheck::merge(Some(none), image), None);
        assert_eq!(HealthCheck::merge(Some(user), None), None);
        assert_eq!(of_image(r#"{"config":{"Env":[]}}"#), None);
        assert_eq!(of_image(r#"{"config":null}"#), None);
        assert_eq!(of_image("{}"), None);
    }
}
