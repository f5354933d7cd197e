//! Steps that upload bytes.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Link, ModelRun, Outcome, byte_at, number};

impl ModelRun {
    /// Whether a link no longer accepts bytes.
    pub(super) fn is_closed(&self, link: usize) -> bool {
        let link = &self.model.links[link];
        link.is_dead || self.model.videos[link.video].is_deleted
    }

    pub(super) async fn head(&mut self, link: &Index) -> Outcome {
        if self.model.links.is_empty() {
            return Ok(());
        }
        let at = link.index(self.model.links.len());
        let path = self.model.links[at].path.clone();
        let reply = self.connection.request("HEAD", &path, &[("Tus-Resumable", "1.0.0")], b"").await;
        if self.is_closed(at) {
            prop_assert_eq!(reply.status, 404);
            return Ok(());
        }
        let Link { offset, size, .. } = &self.model.links[at];
        prop_assert_eq!(reply.status, 200);
        prop_assert_eq!(number(&reply, "upload-offset"), Some(*offset));
        prop_assert_eq!(number(&reply, "upload-length"), Some(*size));
        Ok(())
    }

    pub(super) async fn patch(&mut self, link: &Index, ahead: i8, length: usize) -> Outcome {
        if self.model.links.is_empty() {
            return Ok(());
        }
        let at = link.index(self.model.links.len());
        let Link { path, size, offset, .. } = &self.model.links[at];
        let (path, size, offset) = (path.clone(), *size, *offset);
        let asked = offset.saturating_add_signed(i64::from(ahead));
        let bytes: Vec<u8> = (asked..asked + length as u64).map(byte_at).collect();
        let asked_text = asked.to_string();
        let headers = [
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Offset", asked_text.as_str()),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        let reply = self.connection.request("PATCH", &path, &headers, &bytes).await;
        let expected = if self.is_closed(at) {
            404
        } else if asked != offset {
            409
        } else if offset + length as u64 > size {
            413
        } else {
            204
        };
        prop_assert_eq!(reply.status, expected, "{}", reply.text());
        if expected == 204 {
            let link = &mut self.model.links[at];
            link.offset += length as u64;
            prop_assert_eq!(number(&reply, "upload-offset"), Some(link.offset));
        }
        Ok(())
    }
}
