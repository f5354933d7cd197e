//! Texts of failed uploads: what to do about each cause.

pub(crate) const CURE_SOURCE_UNREACHABLE: &str =
    "Check that the URL is public and that its server responds, then retry.";
pub(crate) const CURE_SOURCE_REFUSED: &str =
    "Check that the file still exists and that its link has not expired. For a new link, start a new upload.";
pub(crate) const CURE_SOURCE_CHANGED: &str = "Wait until the file no longer changes, then retry.";
pub(crate) const CURE_SOURCE_NOT_VIDEO: &str =
    "Use the direct URL of the video file, not that of a page that shows it, and start a new upload.";
pub(crate) const CURE_SOURCE_EMPTY: &str =
    "Check that the file was written completely at the source, then retry.";
pub(crate) const CURE_SOURCE_TOO_LARGE: &str = "Make the file smaller, and start a new upload.";
pub(crate) const CURE_SOURCE_WITHOUT_LENGTH: &str =
    "Use a server that sends Content-Length or accepts ranges, and start a new upload.";
pub(crate) const CURE_SOURCE_BROKEN: &str =
    "Check the server of the source and its network, then retry. The upload starts again from the beginning.";
pub(crate) const CURE_SOURCE_TOO_SLOW: &str = "Use a faster server for the source, then retry.";
pub(crate) const CURE_CREDENTIALS_REJECTED: &str =
    "Replace the access token of the connection with one that Vimeo accepts, then retry.";
pub(crate) const CURE_SCOPE_MISSING: &str =
    "Replace the access token of the connection with one that has all scopes, then retry.";
pub(crate) const CURE_QUOTA_EXCEEDED: &str =
    "Delete videos at Vimeo, upgrade the plan, or wait until the quota resets. Then retry.";
pub(crate) const CURE_UPLOAD_ACCESS_MISSING: &str =
    "Request upload access for the app on its page at developer.vimeo.com. Retry once Vimeo has granted it.";
pub(crate) const CURE_PRIVACY_NOT_ALLOWED: &str =
    "Choose a privacy that the plan of the Vimeo account includes, and start a new upload.";
pub(crate) const CURE_VIMEO_REFUSED: &str =
    "Read what Vimeo says above, and change the settings or the Vimeo account accordingly.";
pub(crate) const CURE_SETTING_REFUSED: &str =
    "Choose settings that the plan of the Vimeo account includes, and start a new upload.";
pub(crate) const CURE_TEXT_TRACK_FAILED: &str = "The video is at Vimeo, closed. Add the text track and open the video there, or correct the file and upload again.";
pub(crate) const CURE_VIDEO_NOT_FOUND: &str =
    "Check the video's URI. A deleted video cannot get another file.";
pub(crate) const CURE_VIDEO_NOT_OWNED: &str =
    "Upload through a connection to the Vimeo account that owns the video.";
pub(crate) const CURE_UPLOAD_LOST: &str = "Retry. If it fails again, look at the status page of Vimeo.";
pub(crate) const CURE_FILE_UNUSABLE: &str =
    "Check that the file plays, convert it to MP4 with H.264, and start a new upload.";
pub(crate) const CURE_VIDEO_DELETED: &str = "Retry if the video is still wanted.";
pub(crate) const CURE_VIMEO_UNAVAILABLE: &str = "Look at the status page of Vimeo, then retry.";
pub(crate) const CURE_UPLOAD_LINK_EXPIRED: &str =
    "Start a new upload, and send all bytes before its link expires.";
pub(crate) const CURE_UNREADABLE: &str =
    "Start a new upload. Send the ID of this one to the operator of this service.";
pub(crate) const OPEN_CONNECTION: &str = "Open the connection";
