//! Reads credentials from a file, standard input, or a prompt. Never from arguments, which are visible to all users of
//! the machine and stored in shell histories.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use domain::text::without_byte_order_mark;
use web::connection_json::ConnectionRecord;
use zeroize::Zeroizing;

use super::BoxError;

/// Limit for the size of a credentials file.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// A secret that can be prompted for.
#[derive(Clone, Copy)]
pub(super) enum PromptedSecret {
    ClientSecret,
    AccessToken,
}

impl PromptedSecret {
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

/// Where to read the credentials from.
#[derive(Args)]
pub(super) struct CredentialsArg {
    /// A file (- is standard input) with the secrets, as JSON: {"clientSecret":"…","accessToken":"…"}
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,
    /// Rejected. Exists so that the error explains why, instead of suggesting a similar argument.
    #[arg(long, hide = true, num_args = 0..)]
    client_secret: Option<Vec<String>>,
    /// Rejected as well.
    #[arg(long, hide = true, num_args = 0..)]
    access_token: Option<Vec<String>>,
}

impl CredentialsArg {
    /// The content of the file, if one is given.
    pub(super) fn read(&self) -> Result<ConnectionRecord, BoxError> {
        if self.client_secret.is_some() || self.access_token.is_some() {
            return Err(
                "secrets are never taken from arguments, and this one is now in your shell's history. \
                        Omit it to be secrets at the terminal, or pass --credentials FILE (- is standard input)"
                    .into(),
            );
        }
        let Some(path) = &self.credentials else { return Ok(ConnectionRecord::default()) };
        let (what, source) = open(path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_MAX_BYTES)? + 1));
        let read = source.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("{what} cannot be read: {error}"))?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(format!("{what} is larger than 64 KiB; it must contain only the credentials").into());
        }
        ConnectionRecord::parse_credentials(without_byte_order_mark(&bytes))
            .map_err(|errors| format!("{what}: {errors}").into())
    }
}

/// Prompts for the secrets that the record does not contain.
pub(super) fn ask(record: &mut ConnectionRecord, secrets: &[PromptedSecret]) -> Result<(), BoxError> {
    for secret in secrets.iter().filter(|secret| !record.has(secret.field())).collect::<Vec<_>>() {
        if !io::stdin().is_terminal() {
            return Err(
                "there is no terminal to prompt for the secrets. Pass --credentials FILE (- is standard input), with \
                 {\"clientSecret\":\"…\",\"accessToken\":\"…\"} in it; secrets are never taken from arguments"
                    .into(),
            );
        }
        record.add_text(secret.field(), Zeroizing::new(rpassword::prompt_password(secret.prompt())?));
    }
    Ok(())
}

/// Opens a file or standard input, and returns its name.
pub(super) fn open(path: &Path) -> Result<(String, Box<dyn Read>), BoxError> {
    if path == Path::new("-") {
        return Ok(("standard input".to_owned(), Box::new(io::stdin())));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Ok((name, Box::new(file)))
}
