//! The query of the list: which uploads it shows, and the addresses of other views of it.

use app::JobFilter;
use domain::id::ConnectionId;
use domain::job::{JobId, JobPhase, JobStatus};
use domain::page::PageLimit;

use super::super::super::errors::PageError;
use super::super::super::respond::percent_encode;
use super::super::paging;
use super::super::sign_in::parameter;

/// The path of the list.
pub(super) const LIST: &str = "/dashboard/uploads";
/// As many uploads as a page shows.
pub(super) const PAGE_ITEMS: PageLimit = PageLimit::of(50);
/// More than a page has rows.
const WATCHED_MAX: usize = 50;

/// Which uploads are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) status: Option<JobStatus>,
    pub(super) phase: Option<JobPhase>,
    /// As it was given: a malformed one matches no upload.
    pub(super) connection: Option<String>,
    /// The page key, as it was given.
    pub(super) page: Option<String>,
    /// What it says: only older uploads than this one.
    pub(super) before: Option<JobId>,
}

/// What a page of the list shows, for its stream of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The uploads that had not ended.
    pub(super) watched: Vec<JobId>,
    /// The newest upload, on the first page.
    pub(super) newest: Option<JobId>,
    /// Identifies the state of the page.
    pub(super) seen: String,
}

/// A parameter of a query, unless it is absent or empty.
fn given(query: Option<&str>, name: &str) -> Option<String> {
    Some(parameter(query, name)).filter(|value| !value.is_empty())
}

impl Filter {
    /// Reads a query; `parse` reads the page key.
    pub(super) fn read(
        query: Option<&str>,
        parse: impl FnOnce(&[u8]) -> Option<JobId>,
    ) -> Result<Self, PageError> {
        let status = given(query, "status").map(|text| JobStatus::parse(&text)).transpose();
        let phase = given(query, "phase").map(|text| JobPhase::parse(&text)).transpose();
        Ok(Self {
            status: status.map_err(|_| PageError::BadRequest)?,
            phase: phase.map_err(|_| PageError::BadRequest)?,
            connection: given(query, "connection"),
            page: given(query, "page"),
            before: paging::position(query, parse)?,
        })
    }

    /// Whether only some of the uploads with the status are listed, so that their number is not known.
    pub(super) fn is_narrow(&self) -> bool {
        self.phase.is_some() || self.connection.is_some()
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.is_narrow() || self.status.is_some()
    }

    /// What the store looks for; `None`: nothing can match.
    pub(super) fn of_store(&self) -> Option<JobFilter> {
        let connection_id = match self.connection.as_deref().map(ConnectionId::parse) {
            Some(None) => return None,
            connection_id => connection_id.flatten(),
        };
        let (status, phase, before) = (self.status, self.phase, self.before.clone());
        Some(JobFilter { connection_id, status, phase, before, ..JobFilter::default() })
    }

    /// The address of the tab of a status: all its uploads, of the same connection.
    pub(super) fn tab(&self, status: Option<JobStatus>) -> String {
        Self { status, phase: None, page: None, before: None, ..self.clone() }.href()
    }

    /// The address of this page.
    pub(super) fn href(&self) -> String {
        with_query(LIST, &self.query())
    }

    /// The address of the changes of this page.
    pub(super) fn events_href(&self, shown: &Shown) -> String {
        let watched: Vec<_> = shown.watched.iter().map(JobId::as_str).collect();
        let newest = shown.newest.as_ref().map_or("", JobId::as_str).to_owned();
        let more = [
            ("watched", watched.join("-").replace('-', "")),
            ("newest", newest),
            ("seen", shown.seen.clone()),
        ];
        let query = self.query().into_iter().chain(more.into_iter().filter(|(_, value)| !value.is_empty()));
        with_query(&format!("{LIST}/events"), &query.collect::<Vec<_>>())
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let query = [
            ("status", text(self.status.map(JobStatus::as_str))),
            ("phase", text(self.phase.map(JobPhase::as_str))),
            ("connection", text(self.connection.as_deref())),
            ("page", text(self.page.as_deref())),
        ];
        query.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

impl Shown {
    /// What the address of a stream names. Anything that the service did not write there is left out.
    pub(super) fn read(query: Option<&str>) -> Self {
        let watched = parameter(query, "watched");
        let ids =
            watched.as_bytes().chunks(32).filter_map(|digits| with_dashes(std::str::from_utf8(digits).ok()?));
        Self {
            watched: ids.take(WATCHED_MAX).collect(),
            newest: JobId::parse(&parameter(query, "newest")),
            seen: parameter(query, "seen"),
        }
    }
}

/// The ID with these 32 digits.
fn with_dashes(digits: &str) -> Option<JobId> {
    let parts =
        [digits.get(..8)?, digits.get(8..12)?, digits.get(12..16)?, digits.get(16..20)?, digits.get(20..)?];
    JobId::parse(&parts.join("-"))
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<_> =
        query.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_read(query: &str) -> Result<Filter, PageError> {
        Filter::read(Some(query), |bytes| (bytes == b"k").then(|| JobId::from_stored("k".to_owned())))
    }

    fn read(query: &str) -> Filter {
        try_read(query).unwrap()
    }

    #[test]
    fn a_filter_is_read_from_its_own_address() {
        for query in
            ["", "status=failed", "status=in-progress&phase=uploading&connection=a%26b&page=aw%3D%3D"]
        {
            let filter = read(query);
            let href = filter.href();
            assert_eq!(href, with_query(LIST, &[]) + if query.is_empty() { "" } else { "?" } + query);
            assert_eq!(read(href.strip_prefix(LIST).unwrap().trim_start_matches('?')), filter);
        }
        // The form of the filters posts empty values.
        assert_eq!(read("status=&phase=&connection=&page="), Filter::default());
        for bad in ["status=x", "phase=Failed", "status=failed%20", "page=eA%3D%3D", "page=%"] {
            assert!(matches!(try_read(bad), Err(PageError::BadRequest)), "{bad}");
        }
    }

    #[test]
    fn a_malformed_connection_matches_nothing() {
        assert_eq!(read("connection=x").of_store(), None);
        let good = read("connection=20260131090500042k3v9x0q2m7t1b8z&status=failed").of_store().unwrap();
        assert!(good.connection_id.is_some() && good.status == Some(JobStatus::Failed));
        assert!(read("").of_store().is_some());
    }

    #[test]
    fn a_tab_keeps_the_connection_alone() {
        let filter = read("status=failed&phase=failed&connection=c&page=aw");
        assert_eq!(filter.tab(None), "/dashboard/uploads?connection=c");
        let tab = filter.tab(Some(JobStatus::Completed));
        assert_eq!(tab, "/dashboard/uploads?status=completed&connection=c");
        assert!(
            filter.is_narrow() && !read("status=failed").is_narrow() && read("status=failed").is_filtered()
        );
    }

    #[test]
    fn a_stream_knows_what_its_page_shows() {
        let id = |number: u8| JobId::make(domain::time::Timestamp::from_millis(7), [number; 10]);
        let shown = Shown { watched: vec![id(1), id(2)], newest: Some(id(3)), seen: "00ff".to_owned() };
        let href = read("status=failed").events_href(&shown);
        let query = href.strip_prefix("/dashboard/uploads/events?").unwrap();
        assert_eq!((Shown::read(Some(query)), read(query)), (shown, read("status=failed")));
        assert_eq!(Shown::read(None), Shown::default());
        assert_eq!(Shown::read(Some("watched=zz&newest=x")), Shown::default());
        let many = format!("watched={}", id(1).as_str().replace('-', "").repeat(99));
        assert_eq!(Shown::read(Some(&many)).watched.len(), WATCHED_MAX);
    }
}
