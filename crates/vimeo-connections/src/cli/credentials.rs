//! Where a command takes credentials from: a file, standard input, or a person who types them unseen. Never from its
//! arguments, which every user of the machine can read, and shells write down.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use domain::text::without_byte_order_mark;
use web::connection_json::ConnectionRecord;
use zeroize::Zeroizing;

use super::BoxError;

/// The largest file of credentials that is read.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// A secret that can be asked for.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    ClientSecret,
    AccessToken,
}

impl Asked {
    fn field(self) -> &'static str {
        match self {
            Self::ClientSecret => "clientSecret",
            Self::AccessToken => "accessToken",
        }
    }

    fn prompt(self) -> &'static str {
        match self {
            Self::ClientSecret => "Client secret (not shown): ",
            Self::AccessToken => "Access token (not shown): ",
        }
    }
}

/// From where.
#[derive(Args)]
pub(super) struct CredentialsFrom {
    /// A file (- is standard input) with the secrets, as JSON: {"clientSecret":"…","accessToken":"…"}
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,
    /// Not taken. It is here so that whoever tries is told why, and not to try a similar one.
    #[arg(long, hide = true, num_args = 0..)]
    client_secret: Option<Vec<String>>,
    /// Nor is this.
    #[arg(long, hide = true, num_args = 0..)]
    access_token: Option<Vec<String>>,
}

impl CredentialsFrom {
    /// What the file says, if one was named.
    pub(super) fn read(&self) -> Result<ConnectionRecord, BoxError> {
        if self.client_secret.is_some() || self.access_token.is_some() {
            return Err(
                "secrets are never taken from arguments, and this one is now in your shell's history. \
                        Omit it to be asked at the terminal, or pass --credentials FILE (- is standard input)"
                    .into(),
            );
        }
        let Some(path) = &self.credentials else { return Ok(ConnectionRecord::default()) };
        let (what, source) = open(path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_MAX_BYTES)? + 1));
        let read = source.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("{what} cannot be read: {error}"))?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(format!("{what} is larger than 64 KiB; it must hold the credentials alone").into());
        }
        ConnectionRecord::parse_credentials(without_byte_order_mark(&bytes))
            .map_err(|faults| format!("{what}: {faults}").into())
    }
}

/// Asks a person for what the record does not say yet.
pub(super) fn ask(record: &mut ConnectionRecord, asked: &[Asked]) -> Result<(), BoxError> {
    for secret in asked.iter().filter(|secret| !record.has(secret.field())).collect::<Vec<_>>() {
        if !io::stdin().is_terminal() {
            return Err(
                "there is no terminal to ask for the secrets. Pass --credentials FILE (- is standard input), with \
                 {\"clientSecret\":\"…\",\"accessToken\":\"…\"} in it; secrets are never taken from arguments"
                    .into(),
            );
        }
        record.add_text(secret.field(), Zeroizing::new(rpassword::prompt_password(secret.prompt())?));
    }
    Ok(())
}

/// A file, or standard input, and what to call it.
pub(super) fn open(path: &Path) -> Result<(String, Box<dyn Read>), BoxError> {
    if path == Path::new("-") {
        return Ok(("standard input".to_owned(), Box::new(io::stdin())));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Ok((name, Box::new(file)))
}
