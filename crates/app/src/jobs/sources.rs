//! What the guarded client says of a source, as it concerns a job.

use domain::job::{Failure, FailureCode, Fetch, SourceFacts};
use domain::secret::Secret;

use super::Uploads;
use super::attendance::{Step, failure};
use crate::outbound::{
    self, Content, Encoding, NotVideo, Outbound, OutboundUrl, Ranges, SourceError, Spooled, Validator,
};

/// The one reason for a source that may not be asked and one that does not answer: nobody finds out through us what
/// listens where.
const UNREACHABLE: &str = "The source could not be reached, or is at an address that is not allowed.";

/// The address of a source, whose form was checked when it was asked for; the rules may have changed since.
pub(super) fn read_address(outbound: &Outbound, url: &Secret) -> Result<OutboundUrl, Failure> {
    outbound.check_form(url.expose()).map_err(|_| failure(FailureCode::SourceUnreachable, UNREACHABLE))
}

/// How a source that says its length is read.
pub(super) fn fetch_of(facts: &outbound::SourceFacts) -> Fetch {
    match facts.ranges {
        Ranges::Taken => Fetch::Ranged,
        Ranges::Ignored => Fetch::Whole,
    }
}

/// What the guarded client needs to know of a source that was looked at before.
pub(super) fn known(facts: &SourceFacts) -> outbound::SourceFacts {
    outbound::SourceFacts {
        length: (facts.fetch != Fetch::Spooled).then_some(facts.length),
        validator: facts.validator.as_deref().and_then(Validator::parse),
        ranges: match facts.fetch {
            Fetch::Ranged => Ranges::Taken,
            Fetch::Whole | Fetch::Spooled => Ranges::Ignored,
        },
    }
}

/// How the bytes of a source are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As they come.
    AsIs,
    /// Decompressed, which needs the disk.
    Decompressed,
}

/// How a source is read whose first bytes are this; the error if it is not.
pub(super) fn reading_of(content: Content, spool_max_bytes: u64) -> Result<Reading, SourceError> {
    match content {
        Content::AsIs => Ok(Reading::AsIs),
        Content::Gzip if spool_max_bytes == 0 => {
            Err(SourceError::NotVideo(NotVideo::Compressed(Encoding::Gzip)))
        }
        Content::Gzip => Ok(Reading::Decompressed),
        Content::Not(what) => Err(SourceError::NotVideo(what)),
    }
}

/// Keeps a source on the disk that does not say how long it is.
pub(super) async fn spool(
    uploads: &Uploads,
    url: &OutboundUrl,
    facts: &outbound::SourceFacts,
) -> Result<Spooled, Step> {
    uploads.outbound.spool(url, &uploads.spool, facts).await.map_err(step_of)
}

/// What a trouble with a source leads to.
pub(super) fn step_of(error: SourceError) -> Step {
    let fail = |code, message: String| Step::Fail(failure(code, message));
    match error {
        SourceError::Unreachable => Step::Trouble(failure(FailureCode::SourceUnreachable, UNREACHABLE)),
        SourceError::Later { .. } => Step::Trouble(failure(
            FailureCode::SourceBroken,
            "The source's server was busy or had a fault for too long.",
        )),
        SourceError::Broken => {
            Step::Trouble(failure(FailureCode::SourceBroken, "The source broke off again and again."))
        }
        SourceError::NotVideo(what) => fail(
            FailureCode::SourceNotVideo,
            format!("The address returned {what}, and no video file. Give the address of the file itself."),
        ),
        SourceError::SpoolFull => Step::Trouble(failure(
            FailureCode::SourceBroken,
            "The source does not say how long it is, and there was no space to keep it on the service's disk.",
        )),
        SourceError::SpoolTimeout => Step::Trouble(failure(
            FailureCode::SourceBroken,
            "The source does not say how long it is, and took longer than it may be read for.",
        )),
        SourceError::NoRoom => Step::Trouble(failure(
            FailureCode::SourceBroken,
            "The source could not be kept on the service's disk, which its length not being known requires.",
        )),
        SourceError::Status(status) => fail(
            FailureCode::SourceRefused,
            format!(
                "The source's server answered with status {status}: the file is not there, or its link is not good (any more)."
            ),
        ),
        SourceError::Changed => fail(
            FailureCode::SourceChanged,
            "The file at the source became another one while it was read.".to_owned(),
        ),
        SourceError::CannotResume => fail(
            FailureCode::SourceChanged,
            "The source cannot be read from the middle, and does not say whether it is still the same file."
                .to_owned(),
        ),
        SourceError::Empty => fail(FailureCode::SourceEmpty, "The file at the source is empty.".to_owned()),
        SourceError::NoLength => fail(
            FailureCode::SourceWithoutLength,
            "The source does not say how long it is, and this service keeps no files on its disk.".to_owned(),
        ),
        SourceError::TooLarge => fail(
            FailureCode::SourceTooLarge,
            "The file at the source is larger than this service takes from such a source.".to_owned(),
        ),
    }
}
