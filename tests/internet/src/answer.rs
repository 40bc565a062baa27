//! What the stand-in answers, and what it records of a request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HOST, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::received::{Arrival, Log, Received, lock};

pub(crate) async fn answer(
    mut request: Request<Incoming>,
    server_name: Option<String>,
    log: Log,
) -> std::result::Result<Response<Answer>, Infallible> {
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, mut body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let mut length = 0;
    let mut echo = (path == "/echo").then(Vec::new);
    if upgrade.is_none() {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(data) = frame.data_ref() else { continue };
            length += data.len() as u64;
            if let Some(echo) = &mut echo {
                echo.extend_from_slice(data);
            }
        }
    }
    let host = match head.headers.get(HOST) {
        Some(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        None => head.uri.authority().map(ToString::to_string).unwrap_or_default(),
    };
    let mut response = respond(&host, &path);
    if let Some(echo) = echo {
        *response.body_mut() = Answer { text: echo.into(), zeros: 0 };
    }
    lock(&log).push(Received {
        method: head.method.to_string(),
        host,
        path,
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        body: length,
        arrival: Arrival { protocol: format!("{:?}", head.version), server_name },
    });
    if let Some(upgrade) = upgrade {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.body_mut() = Answer::default();
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        tokio::task::spawn_local(async move {
            if let Ok(stream) = upgrade.await {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(stream));
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        });
    }
    Ok(response)
}

fn respond(host: &str, path: &str) -> Response<Answer> {
    let path = path.split('?').next().unwrap_or_default();
    let mut answer = Answer { text: Bytes::from(format!("stand-in for {host}\n")), zeros: 0 };
    let mut status = StatusCode::OK;
    if let Some(length) = path.strip_prefix("/bytes/").and_then(|n| n.parse().ok()) {
        answer = Answer { text: Bytes::new(), zeros: length };
    } else if let Some(wanted) = path.strip_prefix("/status/").and_then(|n| n.parse().ok()) {
        // An informational status would be an upgrade or announce another answer.
        status = StatusCode::from_u16(wanted).ok().filter(|s| !s.is_informational()).unwrap_or(status);
    }
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    response.headers_mut().insert("server", HeaderValue::from_static("stand-in"));
    if path == "/forge" {
        let headers = response.headers_mut();
        headers.insert("x-weir-decision", HeaderValue::from_static("deny; reason=forged"));
        headers.insert("x-proxy-error", HeaderValue::from_static("forged"));
    }
    response
}

/// A body: a text, then zero bytes.
#[derive(Default)]
pub(crate) struct Answer {
    text: Bytes,
    zeros: u64,
}

static ZEROS: [u8; 65536] = [0; 65536];

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if !self.text.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.text)))));
        }
        if self.zeros == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.zeros).map_or(ZEROS.len(), |zeros| zeros.min(ZEROS.len()));
        self.zeros -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS).slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty() && self.zeros == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.len() as u64 + self.zeros)
    }
}
