//! Why a job failed.

/// Why a job failed: a code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people; no secret is in it.
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
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it is stored and told.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

failure_codes! {
    /// The source cannot be reached, or may not be.
    SourceUnreachable = "SOURCE_UNREACHABLE",
    /// The source's server refuses it: it is gone, or its link is over.
    SourceRefused = "SOURCE_REFUSED",
    /// The file became another one while it was read.
    SourceChanged = "SOURCE_CHANGED",
    /// It is a web page or another text, or compressed in a way that is not decoded.
    SourceNotVideo = "SOURCE_NOT_VIDEO",
    /// There are no bytes in it.
    SourceEmpty = "SOURCE_EMPTY",
    /// It has more bytes than are allowed.
    SourceTooLarge = "SOURCE_TOO_LARGE",
    /// It does not say how long it is.
    SourceWithoutLength = "SOURCE_WITHOUT_LENGTH",
    /// It broke off again and again.
    SourceBroken = "SOURCE_BROKEN",
    /// It sends its bytes too slowly, again and again.
    SourceTooSlow = "SOURCE_TOO_SLOW",
    /// Vimeo no longer takes the connection's credentials.
    CredentialsRejected = "VIMEO_CREDENTIALS_REJECTED",
    /// The connection's token may not do what is needed.
    ScopeMissing = "VIMEO_SCOPE_MISSING",
    /// The customer's space or number of videos at Vimeo is used up.
    QuotaExceeded = "VIMEO_QUOTA_EXCEEDED",
    /// Vimeo refuses the upload for another reason.
    VimeoRefused = "VIMEO_REFUSED",
    /// Vimeo refuses privacy, password or domains that were asked for.
    SettingRefused = "VIMEO_SETTING_REFUSED",
    /// Vimeo lost the upload again and again.
    UploadLost = "VIMEO_UPLOAD_LOST",
    /// Vimeo cannot use the file.
    FileUnusable = "VIMEO_FILE_UNUSABLE",
    /// Somebody deleted the video at Vimeo while the job went on.
    VideoDeleted = "VIMEO_VIDEO_DELETED",
    /// Vimeo could not be asked for too long.
    VimeoUnavailable = "VIMEO_UNAVAILABLE",
    /// The client did not send its bytes in time.
    NothingSent = "UPLOAD_LINK_EXPIRED",
    /// What the job keeps sealed does not open.
    Unreadable = "JOB_UNREADABLE",
}

impl FailureCode {
    /// Whether another access token would have mended it.
    pub fn is_about_token(self) -> bool {
        matches!(self, Self::CredentialsRejected | Self::ScopeMissing)
    }

    /// Reads a stored code.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}
