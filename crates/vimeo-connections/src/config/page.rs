//! The page of documentation about the configuration.

use std::fmt::Write as _;

use super::keys::variable;
use super::limit_keys;

/// The table as a page of documentation.
pub(crate) fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Generated from the table in `crates/vimeo-connections/src/config/keys.rs`; a test fails when this page is stale.\n\n\
         Built-in defaults, then the file (`--config PATH`, else `./vimeo-connections.toml` if it exists), then the\n\
         environment; later ones take precedence. A key with a dot is in a section of the file (`[vimeo]`,\n\
         `base_url = …`). Unknown keys and variables are errors. `vimeo-connections config check` shows the effective\n\
         values and where they come from. `VIMEO_CONNECTIONS_URL` and `VIMEO_CONNECTIONS_API_KEY` are not keys: they make\n\
         commands work on a remote service (see [cli.md](cli.md)); `serve` refuses the first and ignores the second.\n\
         The column *change*: whether a changed value is applied on SIGHUP or needs a restart\n\
         ([Reloading](operations.md#reloading)). Besides, `serve` uses the variables of systemd, if they are set:\n\
         `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`, `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`\n\
         ([systemd](operations.md#systemd)).\n\n\
         | key | environment variable | values | default | change | meaning |\n|---|---|---|---|---|---|\n",
    );
    for key in limit_keys::all() {
        let default =
            if key.default.is_empty() { "not set".to_owned() } else { format!("`{}`", key.default) };
        // Writing to a `String` does not fail.
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} | {default} | {} | {}{} |",
            key.name,
            variable(key.name),
            key.kind.describe(),
            key.reload.describe(),
            key.meaning,
            if key.is_secret { " Secret: never shown." } else { "" }
        );
    }
    page
}
