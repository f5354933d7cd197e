//! Users: their plans and quotas.

use serde::{Deserialize, Serialize};

use super::{Feature, PresetId, UserId, VideoId, VimeoState};
use crate::limits::Plan;

// Five tebibytes: more than any test fills.
const SPACE_MAX_BYTES: u64 = 5 << 40;
const SPACE_USED_BYTES: u64 = 734_003_200;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) name: String,
    /// The user's own plan, with its rate limit enforced; otherwise that of the sandbox applies.
    pub(crate) plan: Option<Plan>,
    /// The user's own rate limit, enforced instead of the plan's.
    #[serde(default)]
    pub(crate) requests_per_minute: Option<u64>,
    pub(crate) has_verified_email: bool,
    pub(crate) may_manage_folders: bool,
    /// Values of `privacy.view` that are rejected, in addition to those that the plan does not include.
    pub(crate) refused_views: Vec<String>,
    #[serde(default)]
    pub(crate) allowed_privacies: AllowedPrivacies,
    /// Whether all of the user's videos are served more narrowly than their views say.
    #[serde(default)]
    pub(crate) has_cold_privacy: bool,
    /// Absent if Vimeo shows none.
    pub(crate) quota: Option<Quota>,
    pub(crate) presets: Vec<PresetId>,
    /// What is refused because the user's plan lacks it.
    #[serde(default)]
    pub(crate) refused_features: Vec<Feature>,
}

impl User {
    pub(crate) fn new(id: UserId, name: String) -> Self {
        Self {
            id,
            name,
            plan: None,
            requests_per_minute: None,
            has_verified_email: true,
            may_manage_folders: true,
            refused_views: Vec::new(),
            allowed_privacies: AllowedPrivacies::default(),
            has_cold_privacy: false,
            quota: Some(Quota::default_limits()),
            presets: Vec::new(),
            refused_features: Vec::new(),
        }
    }
}

/// What the `allowed_privacies` of a user's videos show. It decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AllowedPrivacies {
    /// Absent if they are those of the plan, without the refused ones.
    pub(crate) views: Option<Vec<String>>,
    pub(crate) is_shown: bool,
}

impl Default for AllowedPrivacies {
    fn default() -> Self {
        Self { views: None, is_shown: true }
    }
}

/// How much a user may upload: in total, per period, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quota {
    pub(crate) unit: Unit,
    pub(crate) lifetime: Option<QuotaLimit>,
    pub(crate) periodic: Option<(Period, QuotaLimit)>,
    /// The limit of the videos that are not open to anybody. Absent if these count like all others.
    #[serde(default)]
    pub(crate) restricted: Option<QuotaLimit>,
}

impl Quota {
    /// The default quota: more than any test fills.
    pub(crate) fn default_limits() -> Self {
        let bound = QuotaLimit { max: Some(SPACE_MAX_BYTES), used_before: SPACE_USED_BYTES };
        Self { unit: Unit::Size, lifetime: Some(bound), periodic: None, restricted: None }
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
pub(crate) struct QuotaLimit {
    /// Absent if unlimited.
    pub(crate) max: Option<u64>,
    /// What was used before there were videos in the sandbox.
    pub(crate) used_before: u64,
}

/// What an upload would add to a user's usage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QuotaUse {
    pub(crate) bytes: u64,
    pub(crate) videos: u64,
    /// Whether the video is not open to anybody.
    pub(crate) is_restricted: bool,
}

/// What videos count in the two pools of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolUse {
    pub(crate) general: u64,
    pub(crate) restricted: u64,
}

/// The limit of a quota that is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExceededQuota {
    Lifetime,
    Periodic,
    Restricted,
}

impl ExceededQuota {
    /// The `status` of a video that exceeds it.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Lifetime | Self::Restricted => "total_cap_exceeded",
            Self::Periodic => "quota_exceeded",
        }
    }
}

/// The period of a quota. The sandbox shows it, but no period ever ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Period {
    Week,
    Month,
    Year,
    /// Never ends, according to newer specifications.
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

impl VimeoState {
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

    /// The limit of a user's quota that this addition would exceed.
    pub(crate) fn exceeded_quota(&self, user: &User, more: QuotaUse) -> Option<ExceededQuota> {
        let quota = user.quota.as_ref()?;
        let added = match quota.unit {
            Unit::Size => more.bytes,
            Unit::Count => more.videos,
        };
        let pools = self.used_by(user.id, quota);
        let exceeds = |limit: &QuotaLimit, used: u64| {
            let wanted = limit.used_before.saturating_add(used).saturating_add(added);
            limit.max.is_some_and(|max| wanted > max)
        };
        match &quota.restricted {
            Some(limit) if more.is_restricted => {
                exceeds(limit, pools.restricted).then_some(ExceededQuota::Restricted)
            }
            _ if quota.lifetime.as_ref().is_some_and(|limit| exceeds(limit, pools.general)) => {
                Some(ExceededQuota::Lifetime)
            }
            _ if quota.periodic.as_ref().is_some_and(|(_, limit)| exceeds(limit, pools.general)) => {
                Some(ExceededQuota::Periodic)
            }
            _ => None,
        }
    }

    /// The limit of its owner's quota that is exceeded with the current bytes of a video.
    pub(crate) fn quota_exceeded_by(&self, video: VideoId) -> Option<ExceededQuota> {
        let video = self.videos.get(video)?;
        let owner = self.users.get(&video.owner)?;
        let is_restricted = video.settings.privacy.is_restricted();
        self.exceeded_quota(owner, QuotaUse { is_restricted, ..QuotaUse::default() })
    }

    /// What a user's videos count in each pool of their quota: bytes or videos.
    pub(crate) fn used_by(&self, user: UserId, quota: &Quota) -> PoolUse {
        let videos = self.videos_of(user);
        let (all, restricted) = match quota.unit {
            Unit::Count => (videos.len() as u64, videos.restricted().videos),
            Unit::Size => (videos.bytes(), videos.restricted().bytes),
        };
        match quota.restricted {
            Some(_) => PoolUse { general: all.saturating_sub(restricted), restricted },
            None => PoolUse { general: all, restricted: 0 },
        }
    }
}
