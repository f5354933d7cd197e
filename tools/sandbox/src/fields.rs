//! The `fields` parameter: the parts of a response that a client wants.

use serde_json::{Map, Value};

/// The paths of the members that a client wants, or everything.
pub(crate) struct Fields(Option<Vec<String>>);

impl Fields {
    pub(crate) fn all() -> Self {
        Self(None)
    }

    /// The paths in a query's `fields`; everything if it has none. Some clients send the whole query twice, so all
    /// paths count.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        let mut paths = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if name == "fields" {
                let names = value.split(',').map(str::trim).filter(|path| !path.is_empty());
                paths.extend(names.map(str::to_owned));
            }
        }
        Self((!paths.is_empty()).then_some(paths))
    }

    /// The same for the items of a list: `fields` names their members, with or without `data.` before them.
    pub(crate) fn of_items(query: Option<&str>) -> Self {
        let Self(paths) = Self::of_query(query);
        let of_item = |path: String| path.strip_prefix("data.").map(str::to_owned).unwrap_or(path);
        Self(paths.map(|paths| paths.into_iter().map(of_item).collect()))
    }

    /// Whether the client named any fields.
    pub(crate) fn are_named(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a member is wanted, or a part of it.
    fn include(&self, name: &str) -> bool {
        let is_in = |path: &String| path.split('.').next() == Some(name);
        self.0.as_ref().is_none_or(|paths| paths.iter().any(is_in))
    }

    /// An object of the members that are wanted. The others are not computed.
    pub(crate) fn object(&self, members: &[(&str, &dyn Fn() -> Value)]) -> Value {
        let wanted = members.iter().filter(|(name, _)| self.include(name));
        Value::Object(wanted.map(|(name, value)| ((*name).to_owned(), value())).collect())
    }

    /// The wanted parts of a value. Unknown names are ignored, as Vimeo does.
    pub(crate) fn pick(&self, value: Value) -> Value {
        let Some(paths) = &self.0 else { return value };
        let mut picked = Value::Object(Map::new());
        for path in paths {
            copy(&value, &mut picked, path);
        }
        picked
    }
}

fn copy(from: &Value, to: &mut Value, path: &str) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let (Value::Object(source), Value::Object(target)) = (from, to) else { return };
    let Some(found) = source.get(name) else { return };
    match (rest, found) {
        (None, _) => {
            target.insert(name.to_owned(), found.clone());
        }
        (Some(rest), Value::Object(_)) => {
            copy(found, target.entry(name).or_insert_with(|| Value::Object(Map::new())), rest);
        }
        // Picks the same parts of each item; another path may have started the items.
        (Some(rest), Value::Array(items)) if items.iter().all(Value::is_object) => {
            let fresh = || Value::Array(vec![Value::Object(Map::new()); items.len()]);
            if let Value::Array(picked) = target.entry(name).or_insert_with(fresh) {
                for (from, to) in items.iter().zip(picked) {
                    copy(from, to, rest);
                }
            }
        }
        // A null has no parts, but it is present.
        (Some(_), Value::Null) => {
            target.insert(name.to_owned(), Value::Null);
        }
        (Some(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_given_twice_or_nested_are_picked_once() {
        let user = json!({"uri": "/users/1", "name": "A", "upload_quota": {"space": {"free": 1, "max": 2}, "unit": 3}});
        let fields =
            Fields::of_query(Some("fields=uri,upload_quota.space.free&fields=uri,nonsense,name.first"));
        assert_eq!(fields.pick(user), json!({"uri": "/users/1", "upload_quota": {"space": {"free": 1}}}));
    }

    #[test]
    fn parts_of_the_items_of_an_array_are_picked() {
        let video = json!({"pictures": {"sizes": [{"width": 1, "link": "a", "x": 0}, {"width": 2, "link": "b"}]}, "app": null});
        let fields = Fields::of_query(Some("fields=pictures.sizes.width,pictures.sizes.link,app.name"));
        let picked = json!({"pictures": {"sizes": [{"width": 1, "link": "a"}, {"width": 2, "link": "b"}]}, "app": null});
        assert_eq!(fields.pick(video), picked);
    }

    #[test]
    fn an_empty_parameter_asks_for_everything() {
        assert!(!Fields::of_query(Some("fields=&page=2")).are_named());
        assert!(!Fields::of_query(None).are_named());
    }

    #[test]
    fn members_that_are_not_wanted_are_not_computed() {
        let members: [(&str, &dyn Fn() -> Value); 3] = [
            ("uri", &|| json!("/videos/1")),
            ("upload", &|| json!({"status": "complete", "size": 1})),
            ("user", &|| panic!("nothing asked for the user")),
        ];
        let fields = Fields::of_items(Some("fields=data.uri,upload.status"));
        let object = fields.object(&members);
        assert_eq!(object, json!({"uri": "/videos/1", "upload": {"status": "complete", "size": 1}}));
        assert_eq!(fields.pick(object), json!({"uri": "/videos/1", "upload": {"status": "complete"}}));
    }
}
