//! HTTP requests as raw bytes, and response headers that can be compared.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::support::harness::{Response, TestEnv};

/// Sends raw bytes on a connection that ends with them; the responses, none of which may answer a HEAD request.
pub(crate) fn exchange(env: &TestEnv, requests: &[u8]) -> Vec<Response> {
    let mut stream = TcpStream::connect(env.service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(requests).unwrap();
    let mut raw = String::new();
    stream.read_to_string(&mut raw).unwrap();
    let mut found = Vec::new();
    let mut rest = raw.as_str();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HeaderMap = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let length =
            headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        let (text, after) = after.split_at(length);
        found.push(Response { status, headers, text: text.to_owned() });
        rest = after;
    }
    found
}

/// The headers of a response, without those that vary or that concern the TCP connection.
pub(crate) fn stable_headers(answer: &Response) -> HeaderMap {
    let mut headers = answer.headers.clone();
    headers.remove("connection");
    headers.remove("date");
    headers.remove("ratelimit");
    headers.remove("x-request-id");
    headers
}
