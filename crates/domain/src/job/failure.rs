//! Why a job failed.

/// Why a job failed: a code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people. Contains no secrets.
    pub message: String,
}

macro_rules! failure_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a job failed, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FailureCode {
            $($(#[$doc])* $name,)*
        }

        impl FailureCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code in the store and in the contract.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

failure_codes! {
    /// The source cannot be reached, or its address is not allowed.
    SourceUnreachable = "SOURCE_UNREACHABLE",
    /// The source's server refuses the request: the file is gone, or its link has expired.
    SourceRefused = "SOURCE_REFUSED",
    /// The file changed while it was read.
    SourceChanged = "SOURCE_CHANGED",
    /// The source is a web page or another text, or has an unsupported content encoding.
    SourceNotVideo = "SOURCE_NOT_VIDEO",
    /// The source is empty.
    SourceEmpty = "SOURCE_EMPTY",
    /// The source is larger than the limit.
    SourceTooLarge = "SOURCE_TOO_LARGE",
    /// The source does not state its length.
    SourceWithoutLength = "SOURCE_WITHOUT_LENGTH",
    /// The transfer of the source was interrupted repeatedly.
    SourceBroken = "SOURCE_BROKEN",
    /// The source was repeatedly slower than the minimum rate.
    SourceTooSlow = "SOURCE_TOO_SLOW",
    /// Vimeo no longer accepts the connection's credentials.
    CredentialsRejected = "VIMEO_CREDENTIALS_REJECTED",
    /// The connection's token lacks a required scope.
    ScopeMissing = "VIMEO_SCOPE_MISSING",
    /// The customer's quota at Vimeo, of bytes or videos, is exhausted.
    QuotaExceeded = "VIMEO_QUOTA_EXCEEDED",
    /// The app may not upload to the customer's account.
    UploadAccessMissing = "VIMEO_UPLOAD_ACCESS_MISSING",
    /// The account's plan does not include the requested `privacy.view`.
    PrivacyNotAllowed = "VIMEO_PRIVACY_NOT_ALLOWED",
    /// Vimeo refuses the upload for another reason.
    VimeoRefused = "VIMEO_REFUSED",
    /// Vimeo refuses the requested privacy, password or domains.
    SettingRefused = "VIMEO_SETTING_REFUSED",
    /// A required text track could not be made: its file cannot be fetched or is not a text track, or Vimeo refuses it.
    TextTrackFailed = "TEXT_TRACK_FAILED",
    /// The video whose file is to be replaced does not exist.
    VideoNotFound = "VIMEO_VIDEO_NOT_FOUND",
    /// The video whose file is to be replaced belongs to another Vimeo account.
    VideoNotOwned = "VIMEO_VIDEO_NOT_OWNED",
    /// Vimeo lost the upload repeatedly.
    UploadLost = "VIMEO_UPLOAD_LOST",
    /// Vimeo cannot transcode the file.
    FileUnusable = "VIMEO_FILE_UNUSABLE",
    /// The video was deleted at Vimeo before the job had ended.
    VideoDeleted = "VIMEO_VIDEO_DELETED",
    /// Vimeo was unavailable until the retry deadline.
    VimeoUnavailable = "VIMEO_UNAVAILABLE",
    /// The client did not send its bytes in time.
    UploadLinkExpired = "UPLOAD_LINK_EXPIRED",
    /// The job's sealed request does not decrypt.
    Unreadable = "JOB_UNREADABLE",
}

impl FailureCode {
    /// Whether another access token could have prevented it.
    pub fn is_about_token(self) -> bool {
        matches!(self, Self::CredentialsRejected | Self::ScopeMissing)
    }

    /// Parses a stored code.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}
