//! Which values of `privacy.view` a user may choose.

use crate::limits::Plan;
use crate::state::User;

/// Every value that a client may set.
pub(super) const VIEWS: [&str; 7] =
    ["anybody", "nobody", "password", "unlisted", "disable", "users", "contacts"];

const PAID_VIEWS: [&str; 4] = ["unlisted", "disable", "users", "contacts"];

/// Whether a plan includes a view.
pub(super) fn is_in_plan(plan: Plan, view: &str) -> bool {
    !plan.is_free() || !PAID_VIEWS.contains(&view)
}

/// Whether a user with this plan may choose a view.
pub(super) fn is_allowed(user: &User, plan: Plan, view: &str) -> bool {
    is_in_plan(plan, view) && !user.refused_views.iter().any(|refused| refused == view)
}

/// The views that Vimeo names as allowed for a user's videos; `None` if it names none.
pub(super) fn allowed_privacies(user: &User, plan: Plan) -> Option<Vec<&str>> {
    let shown = &user.allowed_privacies;
    match &shown.views {
        _ if !shown.is_shown => None,
        Some(views) => Some(views.iter().map(String::as_str).collect()),
        None => Some(VIEWS.into_iter().filter(|view| is_allowed(user, plan, view)).collect()),
    }
}

/// Whether a video is served more narrowly than its view says: its owner's plan no longer includes the view, or a control
/// says so.
pub(super) fn is_cold_restricted(user: &User, plan: Plan, view: &str) -> bool {
    user.has_cold_privacy || !is_in_plan(plan, view)
}
