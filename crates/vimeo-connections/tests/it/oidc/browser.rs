//! A browser: cookies for each origin, and redirects that the test follows itself.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{StatusCode, Url};

/// A response.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// Where it redirects to, as an absolute URL; empty if it does not.
    pub(super) location: String,
    pub(super) text: String,
}

pub(super) struct Browser {
    http: reqwest::Client,
    /// By origin and name.
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    pub(super) fn new() -> Self {
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { http: builder.build().unwrap(), cookies: BTreeMap::new() }
    }

    pub(super) fn cookie(&self, url: &str, name: &str) -> Option<&str> {
        self.cookies.get(&(origin(url), name.to_owned())).map(String::as_str)
    }

    pub(super) fn set_cookie(&mut self, url: &str, name: &str, value: &str) {
        self.cookies.insert((origin(url), name.to_owned()), value.to_owned());
    }

    /// Deletes the cookies of an origin.
    pub(super) fn forget(&mut self, url: &str) {
        let origin = origin(url);
        self.cookies.retain(|(of, _), _| *of != origin);
    }

    pub(super) async fn get(&mut self, url: &str) -> Page {
        let request = self.http.get(url);
        self.send(url, request).await
    }

    pub(super) async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Page {
        let request = self.http.post(url).form(form);
        self.send(url, request).await
    }

    async fn send(&mut self, url: &str, request: reqwest::RequestBuilder) -> Page {
        let origin = origin(url);
        let own = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        let cookies: Vec<_> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            let key = (origin.clone(), name.to_owned());
            if line.contains("Max-Age=0") || line.contains("01 Jan 1970") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        let location = response.headers().get(LOCATION).map(|location| location.to_str().unwrap().to_owned());
        let join = |location: String| Url::parse(url).unwrap().join(&location).unwrap().to_string();
        Page {
            status: response.status(),
            location: location.map_or_else(String::new, join),
            text: response.text().await.unwrap(),
        }
    }
}

fn origin(url: &str) -> String {
    Url::parse(url).unwrap().origin().ascii_serialization()
}
