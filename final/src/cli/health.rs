//! The options of `dockster run` and `create` about health checks.

use anyhow::bail;
use clap::Args;

use crate::engine::health::HealthCheck;
use crate::shim::time::duration;

/// How a container is asked whether it is well.
#[derive(Args, Debug, Clone, Default)]
pub struct HealthArgs {
    /// Ask by this whether it is well: a script for its `/bin/sh`
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// From one check to the next: `30s`, `1m30s` [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    health_interval: Option<u64>,
    /// So many failures in a row make it unhealthy [default: 3]
    #[arg(long, value_name = "COUNT")]
    health_retries: Option<u32>,
    /// How long a check may take [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    health_timeout: Option<u64>,
    /// So long after the start a failure does not count [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    health_start_period: Option<u64>,
    /// From one check to the next, within that time [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    health_start_interval: Option<u64>,
    /// Do not ask, whatever the image says
    #[arg(long)]
    no_healthcheck: bool,
}

/// Nanoseconds. As docker: what is shorter than a millisecond was a mistake.
fn time(text: &str) -> Result<u64, String> {
    match duration(text) {
        None => Err(format!("invalid duration \"{text}\"")),
        Some(1..1_000_000) => Err("a time in a health check cannot be less than 1ms".to_owned()),
        Some(nanos) => Ok(nanos),
    }
}

impl HealthArgs {
    /// What the user says of it, if anything.
    pub fn check(&self) -> anyhow::Result<Option<HealthCheck>> {
        let check = HealthCheck {
            test: self
                .health_cmd
                .iter()
                .filter(|script| !script.is_empty())
                .fold(Vec::new(), |_, script| vec!["CMD-SHELL".to_owned(), script.clone()]),
            interval: self.health_interval.unwrap_or(0),
            timeout: self.health_timeout.unwrap_or(0),
            start_period: self.health_start_period.unwrap_or(0),
            start_interval: self.health_start_interval.unwrap_or(0),
            retries: self.health_retries.unwrap_or(0),
        };
        let said = check != HealthCheck::default();
        if self.no_healthcheck {
            if said {
                bail!("--no-healthcheck conflicts with --health-* options");
            }
            let test = vec!["NONE".to_owned()];
            return Ok(Some(HealthCheck { test, ..HealthCheck::default() }));
        }
        Ok(said.then_some(check))
    }
}
