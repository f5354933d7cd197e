//! What a page shows of uploads, and which parts of it have changed.

use std::hash::{DefaultHasher, Hasher as _};

use askama::Template as _;

use super::super::super::views::upload::{UploadUpdate, UploadView};
use super::super::super::views::uploads::{StateTab, UploadRow, UploadRowUpdate, UploadTabsUpdate};
use super::present::Access;

/// The HTML of the parts of a page that change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    rows: Vec<String>,
    tabs: String,
}

impl Snapshot {
    pub(super) fn new(rows: Vec<String>, tabs: String) -> Self {
        Self { rows, tabs }
    }

    /// Identifies it.
    pub(super) fn id(&self) -> String {
        let mut hasher = DefaultHasher::new();
        for part in self.rows.iter().chain(std::iter::once(&self.tabs)) {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        format!("{:016x}", hasher.finish())
    }

    /// The parts that the other one, of the same uploads in the same order, has not; `None` if there are none.
    pub(super) fn changes_since(&self, before: Option<&Self>) -> Option<String> {
        let is_new =
            |place: usize, row: &String| before.and_then(|before| before.rows.get(place)) != Some(row);
        let rows =
            self.rows.iter().enumerate().filter(|(place, row)| is_new(*place, row)).map(|(_, row)| row);
        let tabs = Some(&self.tabs).filter(|tabs| before.map(|before| &before.tabs) != Some(tabs));
        let changes: String = rows.chain(tabs).flat_map(|part| [part.trim_end(), "\n"]).collect();
        Some(changes).filter(|changes| !changes.is_empty())
    }
}

pub(super) fn render_row(row: &UploadRow, access: Access) -> String {
    // A template of texts is always rendered.
    UploadRowUpdate { row: row.clone(), can_write: access == Access::Write }.render().unwrap_or_default()
}

pub(super) fn render_tabs(tabs: &[StateTab]) -> String {
    UploadTabsUpdate { tabs: tabs.to_vec() }.render().unwrap_or_default()
}

pub(super) fn render_view(view: UploadView) -> String {
    UploadUpdate { view }.render().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(rows: &[&str], tabs: &str) -> Snapshot {
        Snapshot::new(rows.iter().map(|row| (*row).to_owned()).collect(), tabs.to_owned())
    }

    #[test]
    fn only_what_has_changed_is_sent() {
        let before = snapshot(&["<tr>a</tr>", "<tr>b</tr>"], "<nav>1</nav>");
        let changes = |now: &Snapshot| now.changes_since(Some(&before));
        assert_eq!(changes(&before), None);
        let row = snapshot(&["<tr>a</tr>", "<tr>c</tr>"], "<nav>1</nav>");
        assert_eq!(changes(&row).as_deref(), Some("<tr>c</tr>\n"));
        let tabs = snapshot(&["<tr>a</tr>", "<tr>b</tr>"], "<nav>2</nav>");
        assert_eq!(changes(&tabs).as_deref(), Some("<nav>2</nav>\n"));
        assert_eq!(before.changes_since(None).as_deref(), Some("<tr>a</tr>\n<tr>b</tr>\n<nav>1</nav>\n"));
    }

    #[test]
    fn states_differ_by_where_their_parts_end() {
        let ids =
            [snapshot(&["a", "b"], ""), snapshot(&["ab"], ""), snapshot(&["a"], "b")].map(|shown| shown.id());
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert_eq!(snapshot(&["a"], "b").id(), ids[2]);
    }
}
