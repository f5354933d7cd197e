//! The names of Vimeo's scopes.

/// All of Vimeo's scopes. No token can have another one.
pub const SCOPES: [&str; 14] = [
    "public",
    "private",
    "create",
    "edit",
    "delete",
    "interact",
    "upload",
    "video_files",
    "stats",
    "promo_codes",
    "purchased",
    "purchase",
    "email",
    "ai",
];
