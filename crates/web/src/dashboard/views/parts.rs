//! Parts that several pages have: times, badges, choices, errors of forms, and links to other pages of a list.

use crate::dashboard::messages as m;

/// An instant.
#[derive(Clone, Default)]
pub(crate) struct When {
    /// ISO 8601 in UTC, for `datetime`.
    pub(crate) iso: String,
    /// What is shown without scripts, for example `31 Jan 2026, 09:05 UTC`.
    pub(crate) text: String,
}

/// How good or bad a state is. Each one has its own colour and its own sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Warn,
    Bad,
    /// In progress.
    Busy,
    /// Neither good nor bad: disabled, cancelled, not known.
    Muted,
}

impl Tone {
    /// The CSS class.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Busy => "busy",
            Self::Muted => "muted",
        }
    }
}

/// A state in a word or two.
#[derive(Clone)]
pub(crate) struct Badge {
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// The health of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    Unhealthy,
    Unverified,
}

impl Health {
    /// How good or bad it is.
    pub(crate) const fn tone(self) -> Tone {
        match self {
            Self::Healthy => Tone::Good,
            Self::Unhealthy => Tone::Bad,
            Self::Unverified => Tone::Muted,
        }
    }

    /// Its name.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Healthy => m::HEALTH_HEALTHY,
            Self::Unhealthy => m::HEALTH_UNHEALTHY,
            Self::Unverified => m::HEALTH_UNVERIFIED,
        }
    }
}

/// An option of a select box, a group of checkboxes or a group of radio buttons.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    /// What it means; empty: nothing is shown.
    pub(crate) hint: String,
    pub(crate) is_chosen: bool,
    /// It cannot be changed. A checkbox that is fixed and chosen is posted as a hidden field.
    pub(crate) is_fixed: bool,
}

impl Choice {
    /// An option that can be chosen.
    pub(crate) fn new(value: &str, label: &str) -> Self {
        Self {
            value: value.to_owned(),
            label: label.to_owned(),
            hint: String::new(),
            is_chosen: false,
            is_fixed: false,
        }
    }

    /// The same option, chosen if its value is this one.
    pub(crate) fn chosen_if(mut self, value: &str) -> Self {
        self.is_chosen = self.value == value;
        self
    }
}

/// What is wrong with a form that was posted.
#[derive(Clone, Default)]
pub(crate) struct Errors {
    /// What is wrong with the form as a whole; empty: nothing.
    pub(crate) general: String,
    /// What is wrong with fields: the name of the field, and a sentence.
    pub(crate) fields: Vec<(String, String)>,
}

impl Errors {
    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.general.is_empty() && self.fields.is_empty()
    }

    /// Adds an error of a field.
    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.fields.push((field.to_owned(), message.into()));
    }

    /// What is wrong with a field.
    pub(crate) fn of(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, message)| message.as_str())
    }
}

/// Links to other pages of a list. There is none to the page before: page keys lead forward.
#[derive(Clone, Default)]
pub(crate) struct Pager {
    /// The address of the first page, with all filters; `None`: this is it.
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
}

impl Pager {
    /// Whether this is the only page.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.next.is_none()
    }
}

/// A row of an audit log.
#[derive(Clone)]
pub(crate) struct AuditRow {
    pub(crate) at: When,
    /// What was done, in words.
    pub(crate) action: String,
    /// What was done, as the API names it.
    pub(crate) code: String,
    /// Who did it: a person, an API key, the operator, the service.
    pub(crate) actor: String,
    /// The kind of the actor, in a word or two; empty: not shown.
    pub(crate) actor_kind: String,
    /// What the affected record is, in a word or two; empty: not known, or none.
    pub(crate) subject_kind: String,
    /// Its ID, or the name that was asked for; empty: none.
    pub(crate) subject: String,
    /// The page of the record, if it still exists.
    pub(crate) subject_href: Option<String>,
    /// The client's IP address; empty: not known.
    pub(crate) address: String,
    /// What was not done, or how it ended; `None`: it was done.
    pub(crate) result: Option<Badge>,
    /// The code of the error of a refusal; empty: it was done.
    pub(crate) refusal: String,
}
