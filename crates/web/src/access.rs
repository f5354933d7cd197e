//! What each route needs of its caller. Read from the description of the routes, so that the OpenAPI document and the checks
//! cannot differ: `security(("apiKey" = ["connections:read"]))` in a route's declaration is the check.

use axum::http::Method;
use domain::audit::Action;
use domain::scope::Scope;
use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::openapi::API_KEY;

/// What a route needs, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteAccess {
    /// The scope that the key must have; `None`: any key may call it.
    pub(crate) scope: Option<Scope>,
    /// The audited action; `None` for a route that changes nothing.
    pub(crate) action: Option<Action>,
}

/// The access of every route that needs a key, by path template and method.
#[derive(Debug, Default)]
pub(crate) struct AccessTable(FxHashMap<String, Vec<(Method, RouteAccess)>>);

impl AccessTable {
    /// Reads the operations of the OpenAPI document. One whose declaration names no API key, or a scope that does not exist,
    /// is left out: no key may call it.
    pub(crate) fn of(document: &Value) -> Self {
        let mut table = Self::default();
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        for (path, item) in paths {
            let operations = item.as_object().into_iter().flatten();
            let rows = operations.filter_map(|(method, operation)| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).ok()?;
                Some((method, access(operation)?))
            });
            let rows: Vec<_> = rows.collect();
            if !rows.is_empty() {
                table.0.insert(path.clone(), rows);
            }
        }
        table
    }

    /// The access of a route. HEAD is answered by the route of GET.
    pub(crate) fn find(&self, path: &str, method: &Method) -> Option<RouteAccess> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.iter().find(|(own, _)| own == method).map(|(_, access)| *access)
    }
}

fn access(operation: &Value) -> Option<RouteAccess> {
    let scopes = operation.get("security")?.pointer("/0")?.get(API_KEY)?.as_array()?;
    let scope = match scopes.as_slice() {
        [] => None,
        [scope] => Some(Scope::parse(scope.as_str()?).ok()?),
        _ => return None,
    };
    let action = operation.get("operationId").and_then(Value::as_str).and_then(Action::from_operation);
    Some(RouteAccess { scope, action })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(base_path: &str) -> Value {
        serde_json::from_str(&crate::openapi_json(base_path)).unwrap()
    }

    #[test]
    fn every_route_declares_its_scope_and_every_mutation_is_audited() {
        let document = document("/base");
        let table = AccessTable::of(&document);
        let mut count = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let access = table.find(path, &method);
                if operation["security"] == json!([]) {
                    assert!(access.is_none() && !path.starts_with("/base"), "{method} {path} needs no key");
                    continue;
                }
                let access = access.unwrap_or_else(|| panic!("{method} {path} declares no access"));
                assert_eq!(access.scope.is_none(), path == "/base/v1/whoami", "{method} {path}");
                assert_eq!(access.action.is_some(), method != Method::GET, "{method} {path}");
                count += 1;
            }
        }
        assert!(count > 10, "{count} routes need a key");
    }

    #[test]
    fn a_route_without_a_valid_declaration_has_no_access() {
        let operation = |security: Value| json!({ "operationId": "get_job", "security": security });
        for security in [
            json!([]),
            json!([{}]),
            json!([{ "apiKey": ["no:scope"] }]),
            json!([{ "apiKey": ["uploads:read", "uploads:write"] }]),
            json!([{ "other": [] }]),
            Value::Null,
        ] {
            assert_eq!(access(&operation(security.clone())), None, "{security}");
        }
        let read = RouteAccess { scope: Some(Scope::UploadsRead), action: None };
        assert_eq!(access(&operation(json!([{ "apiKey": ["uploads:read"] }]))), Some(read));
    }
}
