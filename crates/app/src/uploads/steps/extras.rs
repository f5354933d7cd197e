//! What a video gets beside its settings by requests that can be repeated: tags, showcases and an embed preset. What Vimeo
//! refuses becomes a warning that names it.

use domain::publication::{Showcase, Tag};
use domain::video::{ShowcaseNumber, VideoNumber};

use super::{CALL_TIMEOUT, StepContext};
use crate::uploads::outcome::{JobPatch, Then};

impl StepContext<'_> {
    /// Tags, preset and showcases.
    pub(super) async fn make_extras(&self, video: VideoNumber, patch: &mut JobPatch) -> Result<(), Then> {
        let publication = &self.prepared.request.settings.publication;
        let session = &self.prepared.session;
        let tags: Vec<&str> = publication.tags.iter().map(Tag::as_str).collect();
        if !tags.is_empty() {
            let set = session.set_tags(video, &tags, CALL_TIMEOUT).await;
            self.warn_of("The tags could not be set", set, patch)?;
        }
        if let Some(preset) = publication.preset {
            let set = session.set_preset(video, preset, CALL_TIMEOUT).await;
            self.warn_of(&format!("The embed preset {preset} could not be set"), set, patch)?;
        }
        for showcase in &publication.showcases {
            let put = match self.find_or_create_showcase(showcase).await {
                Ok(number) => session.put_in_showcase(number, video, CALL_TIMEOUT).await,
                Err(failed) => Err(failed),
            };
            if let Err(vimeo::Failure::Unknown(error)) = &put {
                return Err(self.retry_by_name(error));
            }
            let name = match showcase {
                Showcase::Number(number) => number.to_string(),
                Showcase::Named(name) => format!("“{}”", name.as_str()),
            };
            self.warn_of(&format!("The video could not be added to the showcase {name}"), put, patch)?;
        }
        Ok(())
    }

    async fn find_or_create_showcase(&self, showcase: &Showcase) -> Result<ShowcaseNumber, vimeo::Failure> {
        let name = match showcase {
            Showcase::Number(number) => return Ok(*number),
            Showcase::Named(name) => name.as_str(),
        };
        let session = &self.prepared.session;
        // Two jobs that look for it at once would both create it.
        let _one_at_a_time = self.prepared.shared.showcases.lock().await;
        match session.find_showcase_by_name(name, CALL_TIMEOUT).await? {
            Some(found) => Ok(found),
            None => session.create_showcase(name, CALL_TIMEOUT).await,
        }
    }

    /// A refusal becomes a warning; anything else has to be tried again.
    fn warn_of(
        &self,
        what: &str,
        result: Result<(), vimeo::Failure>,
        patch: &mut JobPatch,
    ) -> Result<(), Then> {
        let said = match result {
            Ok(()) => return Ok(()),
            Err(vimeo::Failure::NotFound) => "it does not exist".to_owned(),
            Err(failed) => self.refusal_of_part(failed)?,
        };
        patch.warnings.push(format!("{what}: {said}"));
        Ok(())
    }
}
