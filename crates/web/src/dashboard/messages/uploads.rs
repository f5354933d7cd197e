//! Texts of the pages of uploads.

// The list.
pub(crate) const UPLOADS_TITLE: &str = "Uploads";
pub(crate) const UPLOADS_TABS: &str = "Uploads by state";
pub(crate) const UPLOADS_FILTER_LABEL: &str = "Filter uploads";
pub(crate) const PHASE: &str = "Phase";
pub(crate) const VIDEO: &str = "Video";
pub(crate) const UPLOAD_NEW: &str = "New upload";
pub(crate) const UPLOADS_FIRST_TITLE: &str = "No uploads yet";
pub(crate) const UPLOADS_FIRST: &str = "Upload a video from a URL or from this computer. Uploads that start over the API are shown here as well.";
pub(crate) const UPLOADS_NONE_TITLE: &str = "No upload matches";
pub(crate) const UPLOADS_NONE: &str = "Change the filters, or clear them to see all uploads.";
pub(crate) const CANCEL_SELECTED: &str = "Cancel selected…";
pub(crate) const SELECTED: &str = "{count} selected";
/// The number of uploads in the list.
pub(crate) fn uploads_count(count: &str) -> String {
    if count == "1" { "1 upload".to_owned() } else { format!("{count} uploads") }
}

/// The number of uploads on a page of a list whose total is not known.
pub(crate) fn uploads_on_page(count: usize) -> String {
    if count == 1 { "1 upload on this page".to_owned() } else { format!("{count} uploads on this page") }
}

/// More uploads than are counted.
pub(crate) fn at_least(count: &str) -> String {
    format!("{count}+")
}

/// The link to uploads that are not on the page yet.
pub(crate) fn uploads_new(count: usize) -> String {
    if count == 1 { "1 new upload. Show it.".to_owned() } else { format!("{count} new uploads. Show them.") }
}

/// A change of an upload's state, for screen readers.
pub(crate) fn upload_is_now(name: &str, phase: &str) -> String {
    format!("{name}: {phase}.")
}

/// An upload without a name whose video is not known yet.
pub(crate) fn upload_without_name(id: &str) -> String {
    format!("Upload {id}")
}

/// An upload without a name.
pub(crate) fn video_without_name(number: &str) -> String {
    format!("Video {number}")
}

/// How much has been sent.
pub(crate) fn amount(sent: &str, total: &str) -> String {
    format!("{sent} of {total}")
}

/// A rate of bytes.
pub(crate) fn rate(bytes: &str) -> String {
    format!("{bytes}/s")
}

/// How long the remaining bytes take.
pub(crate) fn time_left(count: u64, unit: TimeUnit) -> String {
    let unit = match (unit, count) {
        (TimeUnit::Seconds, 1) => "second",
        (TimeUnit::Seconds, _) => "seconds",
        (TimeUnit::Minutes, 1) => "minute",
        (TimeUnit::Minutes, _) => "minutes",
        (TimeUnit::Hours, 1) => "hour",
        (TimeUnit::Hours, _) => "hours",
    };
    format!("about {count} {unit} left")
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    Minutes,
    Hours,
}

/// The label of a checkbox.
pub(crate) fn select_upload(name: &str) -> String {
    format!("Select {name}")
}

/// The label of a progress bar.
pub(crate) fn progress_of(name: &str) -> String {
    format!("Progress of {name}")
}

// Cancelling.
pub(crate) const CANCEL_UPLOAD_TITLE: &str = "Cancel this upload?";
pub(crate) const CANCEL_UPLOADS_TITLE: &str = "Cancel these uploads?";
pub(crate) const CANCEL_UPLOADS_TEXT: &str =
    "What was created at Vimeo is deleted. An upload that has completed meanwhile stays.";
pub(crate) const CANCEL_UPLOAD_BUTTON: &str = "Cancel the upload";
pub(crate) const CANCEL_UPLOADS_BUTTON: &str = "Cancel the uploads";
pub(crate) const KEEP: &str = "Go back";

// The page of an upload.
pub(crate) const UPLOAD_TO: &str = "To";
pub(crate) const UPLOAD_FAILED: &str = "The upload failed";
pub(crate) const ERROR_CODE: &str = "Error code";
pub(crate) const WARNINGS: &str = "Warnings";
pub(crate) const PROGRESS: &str = "Progress";
pub(crate) const NEXT_ATTEMPT: &str = "Next attempt";
pub(crate) const CANCEL_UPLOAD: &str = "Cancel upload";
pub(crate) const CANCEL_UPLOAD_ASK: &str = "Cancel upload…";
pub(crate) const RETRIED: &str = "This upload was retried.";
pub(crate) const RETRIED_LINK: &str = "Open the new upload";
pub(crate) const RETRY_OF: &str = "Retry of";
pub(crate) const RETRY_OF_LINK: &str = "The failed upload";
pub(crate) const JOB_ID: &str = "Job ID";
pub(crate) const OPEN_VIDEO: &str = "Open at Vimeo";
pub(crate) const OPEN_PLAYER: &str = "Open the player";
pub(crate) const VIDEO_URI: &str = "Video at Vimeo";
pub(crate) const SIZE: &str = "Size";
pub(crate) const SOURCE_OF_URL: &str = "A URL";
pub(crate) const SOURCE_OF_CLIENT: &str = "A client that sends the bytes to Vimeo";
pub(crate) const LICENSE: &str = "License";
pub(crate) const LANGUAGE: &str = "Language";
pub(crate) const CONTENT_RATING: &str = "Content rating";
pub(crate) const EMBED: &str = "Who can embed";
pub(crate) const EMBED_DOMAINS: &str = "Domains that can embed";
pub(crate) const COMMENTS: &str = "Who can comment";
pub(crate) const DOWNLOAD: &str = "Download";
pub(crate) const ADD_TO_COLLECTIONS: &str = "Adding to collections";
pub(crate) const ALLOWED: &str = "Allowed";
pub(crate) const NOT_ALLOWED: &str = "Not allowed";
pub(crate) const PASSWORD_SET: &str = "Set";
pub(crate) const THUMBNAIL: &str = "Thumbnail";
pub(crate) const THUMBNAIL_IMAGE: &str = "An image";
pub(crate) const TEXT_TRACKS: &str = "Text tracks";
pub(crate) const TAGS: &str = "Tags";
pub(crate) const SHOWCASES: &str = "Showcases";
pub(crate) const EMBED_PRESET: &str = "Embed preset";
pub(crate) const CHAPTERS: &str = "Chapters";
pub(crate) const REPLACES: &str = "Replaces the file of";
pub(crate) const PUBLISH_AT: &str = "Opens at";
pub(crate) const VIEW_ANYBODY: &str = "Anyone";
pub(crate) const VIEW_OWNER: &str = "Only the owner";
pub(crate) const VIEW_PASSWORD: &str = "Anyone with the password";
pub(crate) const VIEW_UNLISTED: &str = "Anyone with the link";
pub(crate) const VIEW_DISABLE: &str = "Only where it is embedded";
pub(crate) const VIEW_USERS: &str = "Chosen members of Vimeo";
pub(crate) const VIEW_CONTACTS: &str = "People that the owner follows";

/// The second of a video that is its thumbnail.
pub(crate) fn at_second(seconds: &str) -> String {
    format!("At {seconds} s")
}

/// An attempt after failed ones.
pub(crate) fn attempt(number: u32) -> String {
    format!("attempt {number}")
}

/// An upload that started again with another placeholder.
pub(crate) fn restarts(count: u32) -> String {
    if count == 1 { "restarted once".to_owned() } else { format!("restarted {count} times") }
}

// A new upload.
pub(crate) const UPLOAD_NEW_LEAD: &str =
    "The video stays private until the last step, which applies the privacy that you choose.";
pub(crate) const UPLOAD_NO_CONNECTION_TITLE: &str = "No connection can be used";
pub(crate) const UPLOAD_NO_CONNECTION: &str =
    "An upload needs a connection that is enabled and not unhealthy. Create one, or fix one that exists.";
pub(crate) const SOURCE: &str = "Source";
pub(crate) const FROM_URL: &str = "From a URL";
pub(crate) const FROM_COMPUTER: &str = "From this computer";
pub(crate) const SOURCE_URL: &str = "URL of the file";
pub(crate) const SOURCE_URL_HINT: &str =
    "A public https address. The service streams the file to Vimeo without storing it.";
pub(crate) const FILE: &str = "File";
pub(crate) const FILE_HINT: &str =
    "Your browser sends it straight to Vimeo. Keep the page open until it has been sent.";
pub(crate) const FILE_NEEDS_SCRIPTS: &str =
    "Uploading a file from this computer needs scripts, which this browser does not run. Use a URL instead.";
pub(crate) const VIDEO_NAME: &str = "Title";
pub(crate) const PRIVACY: &str = "Who can watch";
pub(crate) const PRIVACY_HINT: &str =
    "If the plan of the Vimeo account does not allow it, the upload fails before anything is sent.";
pub(crate) const VIDEO_PASSWORD: &str = "Password for viewers";
pub(crate) const VIDEO_PASSWORD_HINT: &str = "Only for videos that anyone with the password can watch.";
pub(crate) const FOLDER: &str = "Folder";
pub(crate) const FOLDER_HINT: &str = "The name of a folder at Vimeo. It is created if it does not exist.";
pub(crate) const UPLOAD_START: &str = "Start upload";
pub(crate) const STARTING: &str = "Starting…";

pub(crate) const ERROR_UPLOAD_REUSED: &str =
    "This form was already sent with other values. Check the values, then send it as another upload.";
pub(crate) const ERROR_UPLOAD_IN_USE: &str =
    "This form was sent a moment before and is still in progress. Wait a moment, then send it again.";

// Sending a file from the browser. In these texts, {sent}, {total}, {rate} and {time} are replaced.
pub(crate) const SENDING_TITLE: &str = "Sending to Vimeo";
pub(crate) const SENT_TITLE: &str = "Sent to Vimeo";
pub(crate) const SENDING_ACTIVE: &str = "Sending.";
pub(crate) const SENDING_PAUSED: &str = "Paused. Nothing is lost.";
pub(crate) const SENDING_OFFLINE: &str = "The network is lost. Sending resumes when it is back.";
pub(crate) const SENDING_FAILED: &str = "Vimeo did not accept the file. Resume to try again.";
pub(crate) const SENDING_DONE: &str =
    "The file has been sent. Vimeo now processes the video; you can close this page.";
pub(crate) const SENDING_OF: &str = "{sent} of {total} · {rate}/s";
pub(crate) const SENDING_LEFT: &str = "about {time} left";
pub(crate) const SENDING_REFUSED: &str =
    "The upload was not started: the service could not be reached. Check the network, then try again.";
pub(crate) const SENDING_SIGNED_OUT: &str = "The upload was not started: your session has ended. Open the dashboard in another tab, sign in, and reload this page.";
pub(crate) const SENDING_KEEP_OPEN: &str = "Keep this page open until the file has been sent.";
pub(crate) const PAUSE: &str = "Pause";
pub(crate) const RESUME: &str = "Resume";
pub(crate) const OPEN_UPLOAD: &str = "Open the upload";
