//! What a reload does with each key: a pure decision, by the column `reload` of the table of keys.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::keys::Reload;
use super::{Layers, limit_keys};

/// The values of all keys, to see which ones change. Only hashes are kept, because values may be secrets.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot(BTreeMap<&'static str, Fingerprint>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    is_set: bool,
    hash: [u8; 32],
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Unchanged,
    Applied,
    NeedsRestart,
}

/// The keys that have changed, in the order of their names.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) applied: Vec<&'static str>,
    pub(crate) need_restart: Vec<&'static str>,
}

fn decide(reload: Reload, before: Fingerprint, after: Fingerprint) -> Decision {
    match reload {
        _ if before == after => Decision::Unchanged,
        Reload::Yes => Decision::Applied,
        Reload::WhileSet if before.is_set && after.is_set => Decision::Applied,
        Reload::No | Reload::WhileSet => Decision::NeedsRestart,
    }
}

impl Snapshot {
    pub(crate) fn of(layers: &Layers) -> Self {
        let fingerprint = |key| {
            let text = layers.text(key).unwrap_or_default();
            Fingerprint { is_set: !text.is_empty(), hash: Sha256::digest(text).into() }
        };
        Self(limit_keys::all().map(|key| (key.name, fingerprint(key.name))).collect())
    }

    /// What differs in another configuration. What needs a restart keeps the value it has in this process, and is found
    /// again by the next reload. Call [`Self::apply`] once the rest is applied.
    pub(crate) fn changes(&self, to: &Self) -> Changes {
        let mut changes = Changes::default();
        for key in limit_keys::all() {
            let Some((before, after)) = self.0.get(key.name).zip(to.0.get(key.name)) else { continue };
            match decide(key.reload, *before, *after) {
                Decision::Unchanged => {}
                Decision::Applied => changes.applied.push(key.name),
                Decision::NeedsRestart => changes.need_restart.push(key.name),
            }
        }
        changes.applied.sort_unstable();
        changes.need_restart.sort_unstable();
        changes
    }

    /// Takes over what was applied.
    pub(crate) fn apply(&mut self, to: &Self, changes: &Changes) {
        for name in &changes.applied {
            if let Some(after) = to.0.get(name) {
                self.0.insert(name, *after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::load;

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint { is_set: !text.is_empty(), hash: Sha256::digest(text).into() }
    }

    fn snapshot(file: &str) -> Snapshot {
        Snapshot::of(&load(file, &[]).unwrap().1)
    }

    #[test]
    fn the_kind_of_key_and_what_changed_decide() {
        use Decision::{Applied, NeedsRestart, Unchanged};
        for (reload, before, after, expected) in [
            (Reload::Yes, "a", "a", Unchanged),
            (Reload::No, "a", "a", Unchanged),
            (Reload::WhileSet, "", "", Unchanged),
            (Reload::Yes, "a", "b", Applied),
            (Reload::Yes, "", "b", Applied),
            (Reload::Yes, "a", "", Applied),
            (Reload::No, "a", "b", NeedsRestart),
            (Reload::No, "", "b", NeedsRestart),
            (Reload::WhileSet, "a", "b", Applied),
            (Reload::WhileSet, "", "b", NeedsRestart),
            (Reload::WhileSet, "a", "", NeedsRestart),
        ] {
            let decision = decide(reload, fingerprint(before), fingerprint(after));
            assert_eq!(decision, expected, "{reload:?} {before:?} {after:?}");
        }
    }

    #[test]
    fn what_needs_a_restart_is_found_again_until_it_is_reverted() {
        let mut running = snapshot("listen = \"127.0.0.1:1\"\nlog.level = \"info\"\n");
        let edited = snapshot("listen = \"127.0.0.1:2\"\nlog.level = \"warn\"\nlimits.connections = 5\n");
        let changes = running.changes(&edited);
        assert_eq!(changes.applied, ["limits.connections", "log.level"]);
        assert_eq!(changes.need_restart, ["listen"]);
        running.apply(&edited, &changes);
        let again = running.changes(&edited);
        assert_eq!((again.applied.len(), again.need_restart), (0, vec!["listen"]));
        let reverted = snapshot("listen = \"127.0.0.1:1\"\nlog.level = \"warn\"\nlimits.connections = 5\n");
        assert_eq!(running.changes(&reverted), Changes::default());
    }

    #[test]
    fn the_same_value_from_another_layer_is_no_change() {
        let file = snapshot("log.level = \"warn\"\n");
        let (_, layers) = load("", &[("VIMEO_CONNECTIONS_LOG__LEVEL", " warn ")]).unwrap();
        assert_eq!(file.changes(&Snapshot::of(&layers)), Changes::default());
    }

    #[test]
    fn a_snapshot_shows_no_value() {
        let shown = format!("{:?}", snapshot("vimeo.proxy = \"http://user:canary@127.0.0.1:3128\"\n"));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn every_limit_is_applied_on_a_reload() {
        for key in limit_keys::all() {
            let is_limit = key.name.starts_with("limits.");
            assert!(!is_limit || key.reload == Reload::Yes, "{}", key.name);
        }
    }
}
