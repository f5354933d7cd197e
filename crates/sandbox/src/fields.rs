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
    match rest {
        None => {
            target.insert(name.to_owned(), found.clone());
        }
        Some(rest) if found.is_object() => {
            copy(found, target.entry(name).or_insert_with(|| Value::Object(Map::new())), rest);
        }
        // There is nothing inside it to pick from.
        Some(_) => {}
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
    fn an_empty_parameter_asks_for_everything() {
        assert_eq!(requested(Some("fields=&page=2")), None);
        assert_eq!(requested(None), None);
    }
}
