//! A browser without a screen, driven by `WebDriver`.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    By, ChromiumLikeCapabilities as _, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver,
    error::WebDriverError,
    prelude::WebDriverResult,
    session::http::{Body, HttpClient},
};
use tokio::runtime::Runtime;

use super::eventually;

/// Chromium, which ends with its test.
pub(crate) struct Browser {
    runtime: Runtime,
    driver: Option<WebDriver>,
    _process: Process,
    _profile: TempDir,
}

/// chromedriver.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Browser {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver, of Debian's chromium-driver");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let process = Process(child);
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says on which port it is");
        let profile = tempfile::tempdir().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_headless().unwrap();
        // It runs as root here, where its sandbox does not; and what it would fetch for itself is none of the test's.
        wanted.set_no_sandbox().unwrap();
        for argument in [
            "--disable-background-networking",
            "--window-size=1280,900",
            "--lang=en-GB",
        ] {
            wanted.add_arg(argument).unwrap();
        }
        let data = format!("--user-data-dir={}", profile.path().display());
        wanted.add_arg(&data).unwrap();
        wanted
            .set_browser_log_level(LoggingPrefsLogLevel::All)
            .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = format!("http://127.0.0.1:{port}");
        let connecting = WebDriver::builder(server, wanted)
            .client(Client::default())
            .connect();
        let driver = runtime.block_on(connecting).unwrap();
        Self {
            runtime,
            driver: Some(driver),
            _process: process,
            _profile: profile,
        }
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("there until it is dropped")
    }

    fn wait<T>(&self, doing: impl Future<Output = WebDriverResult<T>>) -> T {
        self.runtime.block_on(doing).unwrap()
    }

    pub(crate) fn open(&self, url: &str) {
        self.wait(self.driver().goto(url));
    }

    pub(crate) fn reload(&self) {
        self.wait(self.driver().refresh());
    }

    /// What the function body `script` returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        let running = async {
            let result = self.driver().execute(script, Vec::<Value>::new()).await?;
            Ok(result.json().clone())
        };
        self.wait(running)
    }

    /// Waits until `expression` is true.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) {
        eventually(expression, || (self.is(expression)).then_some(()));
    }

    pub(crate) fn is(&self, expression: &str) -> bool {
        self.run(&format!("return Boolean({expression})")) == json!(true)
    }

    /// The text that is seen at `selector`; none where there is no such thing.
    pub(crate) fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn count(&self, selector: &str) -> u64 {
        let script = format!("return document.querySelectorAll({selector:?}).length");
        self.run(&script).as_u64().unwrap()
    }

    pub(crate) fn click(&self, selector: &str) {
        let clicking = async { self.driver().find(By::Css(selector)).await?.click().await };
        self.wait(clicking);
    }

    /// Types `text` into what is at `selector`, instead of what is there.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let filling = async {
            let field = self.driver().find(By::Css(selector)).await?;
            field.clear().await?;
            field.send_keys(text).await
        };
        self.wait(filling);
    }

    /// Presses `keys`, one after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: &str) {
        self.wait(self.driver().action_chain().send_keys(keys).perform());
    }

    /// What the page is shown on: how wide it is, and whether the person prefers the dark.
    pub(crate) fn show_on(&self, width: u32, height: u32, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let setting = async {
            let tools = self.driver().cdp();
            let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
            tools
                .send_raw("Emulation.setDeviceMetricsOverride", size)
                .await?;
            let preference =
                json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            tools
                .send_raw("Emulation.setEmulatedMedia", preference)
                .await
        };
        self.wait(setting);
    }

    pub(crate) fn screenshot(&self, path: &Path) {
        self.wait(self.driver().screenshot(path));
    }

    /// The processor time that the page's main thread has taken since this was first asked, in milliseconds.
    pub(crate) fn main_thread_ms(&self) -> f64 {
        let asking = async {
            let tools = self.driver().cdp();
            let domain = json!({"timeDomain": "threadTicks"});
            tools.send_raw("Performance.enable", domain).await?;
            tools.send_raw("Performance.getMetrics", json!({})).await
        };
        let metrics = self.wait(asking);
        let mut metrics = metrics["metrics"].as_array().unwrap().iter();
        let tasks = metrics.find(|metric| metric["name"] == "TaskDuration");
        tasks.unwrap()["value"].as_f64().unwrap() * 1_000.0
    }

    /// The cookies that it keeps for the page, as the protocol describes them.
    pub(crate) fn cookies(&self) -> Value {
        let asking = async {
            let tools = self.driver().cdp();
            tools.send_raw("Network.getCookies", json!({})).await
        };
        self.wait(asking)["cookies"].clone()
    }

    /// What it has complained of since this was last asked: errors of scripts, what the page may not do, what could not be
    /// loaded.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.wait(self.driver().browser_log());
        let bad = log
            .into_iter()
            .filter(|entry| entry.level != "INFO" && entry.level != "DEBUG");
        bad.map(|entry| entry.message).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = self.runtime.block_on(driver.quit());
        }
    }
}

/// HTTP by what shippy has of it.
#[derive(Clone)]
struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

impl Default for Client {
    fn default() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send(
        &self,
        request: http::Request<Body<'_>>,
    ) -> WebDriverResult<http::Response<Bytes>> {
        let failed =
            |error: &dyn std::fmt::Display| WebDriverError::RequestFailed(error.to_string());
        let request = request.map(|body| match body {
            Body::Empty => Full::default(),
            Body::Json(document) => Full::from(document.to_string()),
        });
        let response = self
            .0
            .request(request)
            .await
            .map_err(|error| failed(&error))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?;
        Ok(http::Response::from_parts(parts, body.to_bytes()))
    }

    async fn new(&self) -> Arc<dyn HttpClient> {
        Arc::new(Self::default())
    }
}
