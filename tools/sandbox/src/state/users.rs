//! Users: whose videos and folders these are, what their plan allows, and how much they may still upload.

use serde::{Deserialize, Serialize};

use super::{PresetId, UserId, VideoId, World};
use crate::limits::Plan;

// Five tebibytes: more than any test fills.
const SPACE_MAX_BYTES: u64 = 5 << 40;
const SPACE_USED_BYTES: u64 = 734_003_200;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) name: String,
    /// A plan of their own, with its rate limit enforced; otherwise theirs is that of the sandbox.
    pub(crate) plan: Option<Plan>,
    pub(crate) has_verified_email: bool,
    pub(crate) may_manage_folders: bool,
    /// Values of `privacy.view` that are refused, beside those that the plan does not have.
    pub(crate) refused_views: Vec<String>,
    /// Absent where Vimeo says nothing about it.
    pub(crate) quota: Option<Quota>,
    pub(crate) presets: Vec<PresetId>,
}

impl User {
    pub(crate) fn new(id: UserId, name: String) -> Self {
        Self {
            id,
            name,
            plan: None,
            has_verified_email: true,
            may_manage_folders: true,
            refused_views: Vec::new(),
            quota: Some(Quota::roomy()),
            presets: Vec::new(),
        }
    }
}

/// How much a user may upload: in all, in a period, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quota {
    pub(crate) unit: Unit,
    pub(crate) lifetime: Option<Bound>,
    pub(crate) periodic: Option<(Period, Bound)>,
}

impl Quota {
    /// What everybody has who was not given another: more than any test fills.
    pub(crate) fn roomy() -> Self {
        let bound = Bound { max: Some(SPACE_MAX_BYTES), used_before: SPACE_USED_BYTES };
        Self { unit: Unit::Size, lifetime: Some(bound), periodic: None }
    }
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// Bytes.
    Size,
    /// Videos.
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// Absent where there is no end to it.
    pub(crate) max: Option<u64>,
    /// What was used up before there were videos in the sandbox.
    pub(crate) used_before: u64,
}

/// What is to be added to what a user has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addition {
    pub(crate) bytes: u64,
    pub(crate) videos: u64,
}

/// Which bound of a quota does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overrun {
    Lifetime,
    Periodic,
}

impl Overrun {
    /// The `status` of a video that turned out to be too much.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Lifetime => "total_cap_exceeded",
            Self::Periodic => "quota_exceeded",
        }
    }
}

/// After which time a periodic quota begins anew. The sandbox names it, and lets no period pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Period {
    Week,
    Month,
    Year,
    /// Never, by the word of newer specifications.
    Lifetime,
}

impl Period {
    pub(crate) const ALL: [Self; 4] = [Self::Week, Self::Month, Self::Year, Self::Lifetime];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
            Self::Lifetime => "lifetime",
        }
    }
}

impl World {
    pub(crate) fn add_user(&mut self, name: String) -> User {
        let mut user = User::new(UserId(self.take_number()), name);
        user.presets = (0..2).map(|_| PresetId(self.take_number())).collect();
        self.users.insert(user.id, user.clone());
        user
    }

    pub(crate) fn find_user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    pub(crate) fn find_user_mut(&mut self, id: UserId) -> Option<&mut User> {
        self.users.get_mut(&id)
    }

    /// Every user, oldest first.
    pub(crate) fn list_users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// Which bound of a user's quota so much more would overrun.
    pub(crate) fn overrun(&self, user: &User, more: Addition) -> Option<Overrun> {
        let quota = user.quota.as_ref()?;
        let more = match quota.unit {
            Unit::Size => more.bytes,
            Unit::Count => more.videos,
        };
        let wanted = self.used_by(user.id, quota.unit).saturating_add(more);
        let is_over =
            |bound: &Bound| bound.max.is_some_and(|max| bound.used_before.saturating_add(wanted) > max);
        if quota.lifetime.as_ref().is_some_and(is_over) {
            Some(Overrun::Lifetime)
        } else if quota.periodic.as_ref().is_some_and(|(_, bound)| is_over(bound)) {
            Some(Overrun::Periodic)
        } else {
            None
        }
    }

    /// Which bound of its owner's quota is overrun, now that a video has the bytes that it has.
    pub(crate) fn overrun_by(&self, video: VideoId) -> Option<Overrun> {
        let owner = self.users.get(&self.videos.get(video)?.owner)?;
        self.overrun(owner, Addition::default())
    }

    /// What a user's videos use up of their quota: bytes that were announced, or videos.
    pub(crate) fn used_by(&self, user: UserId, unit: Unit) -> u64 {
        let videos = self.videos_of(user);
        match unit {
            Unit::Count => videos.len() as u64,
            Unit::Size => videos.bytes(),
        }
    }
}
