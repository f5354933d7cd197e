//! `backup` and `restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use app::{BackupHeader, Clock, RestoredKeys};
use clap::Args;
use seal::Randomness;
use serde_json::{Value, json};

use super::{BoxError, Format, output};
use crate::config::Config;
use crate::wiring;

/// A size is shown in a larger unit from ten times this.
const UNIT: u64 = 1024;

#[derive(Args)]
pub(super) struct Backup {
    /// The file to create; an existing file is never overwritten
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct Restore {
    /// A file created by `backup`
    file: PathBuf,
    /// Revoke all API keys in the backup, in case they have leaked
    #[arg(long)]
    revoke_keys: bool,
    /// Only check the backup; restore nothing
    #[arg(long, conflicts_with = "revoke_keys")]
    check: bool,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn back_up(config: &Config, command: Backup) -> Result<ExitCode, BoxError> {
    let Backup { file, format } = command;
    if file.as_os_str() == "-" {
        return Err("a backup is created completely or not at all, which standard output cannot guarantee. \
                    Pass a file name, and copy the file from there"
            .into());
    }
    let header =
        app::back_up(&config.database_url, file.clone(), &Clock::system(), &Randomness::system()).await?;
    if format.json {
        return output::print_json(&shown(&header));
    }
    output::print(&format!(
        "Created the backup {}: {}, schema {}, as of {}.\n{}",
        file.display(),
        size(header.bytes),
        header.schema,
        header.made_at,
        keys_needed(&header)
    ))
}

pub(super) async fn restore(config: &Config, command: Restore) -> Result<ExitCode, BoxError> {
    if command.check {
        return check(config, command).await;
    }
    let Restore { file, revoke_keys, format, .. } = command;
    let keys = if revoke_keys { RestoredKeys::Revoke } else { RestoredKeys::Keep };
    let setup = wiring::setup_for_restoring(config).await?;
    let restored = Box::pin(app::restore_backup(setup, &file, keys)).await?;
    if format.json {
        let mut shown = shown(&restored.header);
        if let Some(object) = shown.as_object_mut() {
            object.insert("revokedKeys".to_owned(), json!(restored.revoked_keys));
        }
        return output::print_json(&shown);
    }
    let keys = match restored.revoked_keys {
        Some(count) => format!(
            "Revoked all {count} API keys that were not revoked; create new ones with `vimeo-connections keys \
             create`."
        ),
        None => "API keys revoked since then are valid again, and keys created since then are gone: \
                 check `vimeo-connections keys list`."
            .to_owned(),
    };
    output::print(&format!(
        "Restored the backup {} of {} into {}.\n{keys}\n\
         Next: vimeo-connections serve, and vimeo-connections connections check, which decrypts every connection.",
        file.display(),
        restored.header.made_at,
        config.database_url
    ))
}

async fn check(config: &Config, command: Restore) -> Result<ExitCode, BoxError> {
    let Restore { file, format, .. } = command;
    let keyring = wiring::find_keyring(config).await?;
    let header = app::check_backup(&file, keyring.as_ref(), &Randomness::system()).await?;
    if format.json {
        let mut shown = shown(&header);
        if let Some(object) = shown.as_object_mut() {
            object.insert("keyringFits".to_owned(), json!(keyring.map(|_| true)));
        }
        return output::print_json(&shown);
    }
    let keys = match keyring {
        Some(_) => "The keyring contains the keys that it needs.".to_owned(),
        None => format!("There is no keyring to check it against. {}", keys_needed(&header)),
    };
    output::print(&format!(
        "The backup {} is valid: {}, schema {}, as of {}.\n{keys}",
        file.display(),
        size(header.bytes),
        header.schema,
        header.made_at
    ))
}

fn keys_needed(header: &BackupHeader) -> String {
    if header.keyring_keys.is_empty() {
        return "It contains no encrypted data.".to_owned();
    }
    format!(
        "Restoring it needs the keyring with {}, which it does not contain. Back the keyring up separately from \
         it: both together reveal everything.",
        app::describe_keys(&header.keyring_keys)
    )
}

fn shown(header: &BackupHeader) -> Value {
    let keys: Vec<_> = header.keyring_keys.iter().map(ToString::to_string).collect();
    json!({
        "schema": header.schema,
        "madeDate": header.made_at,
        "bytes": header.bytes,
        "sha256": header.sha256,
        "keyringKeys": keys,
    })
}

/// A size for display: whole units, rounded up.
fn size(bytes: u64) -> String {
    let mut count = bytes;
    for unit in ["bytes", "KiB", "MiB"] {
        if count < 10 * UNIT {
            return format!("{count} {unit}");
        }
        count = count.div_ceil(UNIT);
    }
    format!("{count} GiB")
}
