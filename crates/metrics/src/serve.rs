//! `GET /metrics`.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_model::{Error, Result, ResultExt};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use crate::metrics::Metrics;

/// Scrapers that are served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 16;
/// Longest that one scrape may take, so that a stuck peer does not keep its place.
const SCRAPE_MAX: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A listener that shows the metrics of a process under `/metrics`, to anybody who can reach it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    metrics: Metrics,
}

impl Server {
    /// Starts to listen; must be called on a tokio runtime. Port 0 takes any free one.
    ///
    /// # Errors
    /// When the address is in use, is not this host's, or needs more rights.
    pub async fn bind(address: SocketAddr, metrics: Metrics) -> Result<Server> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.doing("listening for metrics on", address).map_err(advise)?;
        Ok(Server { listener, metrics })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().doing("asking for the address of", "the metrics listener")
    }

    /// Serves until dropped; answers under way are then cut off.
    pub async fn run(self) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
            }
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let metrics = self.metrics.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let response = respond(&request, &metrics);
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut http = http1::Builder::new();
                http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(SCRAPE_MAX);
                // A scraper that goes away early is its own affair.
                let _ = timeout(SCRAPE_MAX, http.serve_connection(TokioIo::new(stream), service)).await;
            });
        }
    }
}

fn advise(error: Error) -> Error {
    error.hint("metrics_listen names this address; set it to a free one of this host, or leave it out")
}

fn respond(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let (status, content_type, body) = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => {
            (StatusCode::OK, HeaderValue::from_static(OPENMETRICS), metrics.encode())
        }
        ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, text, "only GET is served here\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, text, "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
