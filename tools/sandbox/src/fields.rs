//! The `fields` parameter: which parts of an answer a client asked for.

use serde_json::{Map, Value};

/// The paths in a query's `fields`, or `None` when it has none. Some clients send the whole query twice; all the
/// paths that are named anywhere count.
pub(crate) fn requested(query: Option<&str>) -> Option<Vec<String>> {
    let mut paths = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name == "fields" {
            paths.extend(value.split(',').map(str::trim).filter(|path| !path.is_empty()).map(str::to_owned));
        }
    }
    (!paths.is_empty()).then_some(paths)
}

/// The named parts of a value. Unknown names are passed over, as Vimeo does.
pub(crate) fn pick(value: &Value, paths: &[String]) -> Value {
    let mut picked = Value::Object(Map::new());
    for path in paths {
        copy(value, &mut picked, path);
    }
    picked
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
        // Of each item the same parts; items that were begun by another path go on.
        (Some(rest), Value::Array(items)) if items.iter().all(Value::is_object) => {
            let fresh = || Value::Array(vec![Value::Object(Map::new()); items.len()]);
            if let Value::Array(picked) = target.entry(name).or_insert_with(fresh) {
                for (from, to) in items.iter().zip(picked) {
                    copy(from, to, rest);
                }
            }
        }
        // There is nothing inside it to pick from, but it is there.
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
        let paths =
            requested(Some("fields=uri,upload_quota.space.free&fields=uri,nonsense,name.first")).unwrap();
        assert_eq!(pick(&user, &paths), json!({"uri": "/users/1", "upload_quota": {"space": {"free": 1}}}));
    }

    #[test]
    fn parts_of_the_items_of_an_array_are_picked() {
        let video = json!({"pictures": {"sizes": [{"width": 1, "link": "a", "x": 0}, {"width": 2, "link": "b"}]}, "app": null});
        let paths = requested(Some("fields=pictures.sizes.width,pictures.sizes.link,app.name")).unwrap();
        let picked = json!({"pictures": {"sizes": [{"width": 1, "link": "a"}, {"width": 2, "link": "b"}]}, "app": null});
        assert_eq!(pick(&video, &paths), picked);
    }

    #[test]
    fn an_empty_parameter_asks_for_everything() {
        assert_eq!(requested(Some("fields=&page=2")), None);
        assert_eq!(requested(None), None);
    }
}
