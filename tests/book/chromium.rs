//! A real Chromium, without a window, driven over a pair of pipes.
//!
//! It reads JSON from descriptor 3 and writes JSON to descriptor 4, each message ended by
//! a zero byte: the DevTools protocol, without a port that others could reach.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use dockster_tests::{Failed, TempDir, find_program, host, scaled, wait_until};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// The longest that one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Says which processes are ours: it is in the environment of all of them.
const MARK: &str = "DOCKSTER_TEST_BROWSER";

/// A browser with one page.
pub struct Chromium {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What happened since it was last asked.
    pub events: Vec<Value>,
    home: TempDir,
}

impl Chromium {
    /// Starts it, with a home of its own, and opens a page.
    pub fn start() -> Result<Chromium, Failed> {
        let home = TempDir::new();
        let program = find_program("chromium").ok_or("no chromium")?;
        // The shell moves the two pipes to where Chromium looks for them.
        let script = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", home.join("profile").display()));
        if host().root {
            // Its sandbox refuses to be set up by root.
            command.arg("--no-sandbox");
        }
        let mut child = command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .envs(["HOME", "TMPDIR", "XDG_RUNTIME_DIR"].map(|name| (name, home.path())))
            .env(MARK, home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(home.join("stderr"))?)
            .process_group(0)
            .spawn()?;
        let output = child.stdout.take().ok_or("no stdout")?;
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap_or(Value::Null);
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        let events = Vec::new();
        let mut chromium =
            Chromium { child, input, messages, last_id: 0, session: None, events, home };
        chromium.open_page()?;
        Ok(chromium)
    }

    fn open_page(&mut self) -> Result<(), Failed> {
        let page = self.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let target = json!({ "targetId": page["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", target)?;
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(())
    }

    /// Calls a method; its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Result<Value, Failed> {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let input = self.input.as_mut().ok_or("it is closed")?;
        input.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let mut answer = self.message(method)?;
            if answer["id"] != json!(self.last_id) {
                self.events.push(answer);
            } else if answer["error"].is_null() {
                return Ok(answer["result"].take());
            } else {
                return Err(format!("{method}: {}", answer["error"]).into());
            }
        }
    }

    fn message(&mut self, waiting_for: &str) -> Result<Value, Failed> {
        self.messages.recv_timeout(scaled(PATIENCE)).map_err(|error| {
            let said = fs::read_to_string(self.home.join("stderr")).unwrap_or_default();
            let said = said.lines().last().unwrap_or_default();
            let open = self.unanswered();
            format!("waiting for {waiting_for}: {error}; unanswered: {open:?}; it says: {said}")
                .into()
        })
    }

    /// The requests that have not come to an end.
    fn unanswered(&self) -> Vec<String> {
        let of = |method: &str, event: &Value| {
            let about = &event["params"];
            (event["method"] == method)
                .then(|| (about["requestId"].clone(), about["request"]["url"].to_string()))
        };
        let ended = |id: &Value| {
            let ends = ["Network.loadingFinished", "Network.loadingFailed"];
            self.events
                .iter()
                .any(|e| ends.iter().any(|end| of(end, e).is_some_and(|(i, _)| i == *id)))
        };
        let sent = self.events.iter().filter_map(|event| of("Network.requestWillBeSent", event));
        sent.filter(|(id, _)| !ended(id)).map(|(_, url)| url).collect()
    }

    /// Opens an address and waits until all of it is there; what happened meanwhile.
    pub fn open(&mut self, address: &str) -> Result<Vec<Value>, Failed> {
        self.events.clear();
        let opened = self.call("Page.navigate", json!({ "url": address }))?;
        if let Some(error) = opened["errorText"].as_str() {
            return Err(format!("{address}: {error}").into());
        }
        let loaded =
            |events: &[Value]| events.iter().any(|event| event["method"] == "Page.loadEventFired");
        while !loaded(&self.events) {
            let event = self.message(address)?;
            self.events.push(event);
        }
        // What the page said on loading comes before the answer to this.
        self.evaluate("document.readyState")?;
        Ok(std::mem::take(&mut self.events))
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value, Failed> {
        let parameters = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let mut done = self.call("Runtime.evaluate", parameters)?;
        match done["exceptionDetails"].is_null() {
            true => Ok(done["result"]["value"].take()),
            false => Err(format!("{expression}: {}", done["exceptionDetails"]).into()),
        }
    }

    /// Waits until an expression is true in the page.
    pub fn wait_for(&mut self, expression: &str) -> Result<(), Failed> {
        let mut failed = None;
        wait_until(expression, PATIENCE, || match self.evaluate(expression) {
            Ok(value) => value == json!(true),
            Err(error) => {
                failed = Some(error);
                true
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// How wide and high the window is; a phone's lays out as phones do.
    pub fn size(&mut self, width: u32, height: u32) -> Result<(), Failed> {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.call("Emulation.setDeviceMetricsOverride", size).map(|_| ())
    }

    /// What the reader has set: `light` or `dark`.
    pub fn colours(&mut self, scheme: &str) -> Result<(), Failed> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).map(|_| ())
    }

    /// Whether pages may run scripts.
    pub fn scripts(&mut self, may: bool) -> Result<(), Failed> {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !may })).map(|_| ())
    }

    /// A picture of the whole page, as PNG in base64.
    pub fn picture(&mut self) -> Result<String, Failed> {
        let sizes = self.call("Page.getLayoutMetrics", json!({}))?;
        let content = &sizes["cssContentSize"];
        let clip = json!({
            "x": 0, "y": 0, "width": content["width"], "height": content["height"], "scale": 1,
        });
        let how = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", how)?;
        Ok(picture["data"].as_str().unwrap_or_default().to_owned())
    }

    /// Ends it, and sees that nothing of it is left.
    pub fn end(mut self) -> Result<(), Failed> {
        self.session = None;
        // It may be gone before it answers.
        let _ = self.call("Browser.close", json!({}));
        self.input = None;
        let home = self.home.path().to_owned();
        wait_until("no process of Chromium is left", PATIENCE, || {
            let _ = self.child.try_wait();
            !any_left(&home)
        })
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Also when a test failed in the middle: the group is ours alone.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        let home = self.home.path().to_owned();
        let _ = wait_until("Chromium is gone", PATIENCE, || !any_left(&home));
    }
}

/// Whether a process has our mark in its environment.
fn any_left(home: &Path) -> bool {
    let mark = format!("{MARK}={}\0", home.display()).into_bytes();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.into_iter().any(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark)
    })
}

/// No window, nothing from the network, nothing kept.
const FLAGS: [&str; 16] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
    "--hide-scrollbars",
    "--password-store=basic",
];
