//! The API description as one HTML page, without scripts or external resources, so that it works offline.

use askama::Template;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::Shared;

/// The page may use inline styles only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    title: String,
    version: String,
    introduction: Vec<Paragraph>,
    authentication: Vec<Paragraph>,
    groups: Vec<Group>,
    errors: Vec<ErrorRow>,
}

/// Text with code between backticks.
type Paragraph = Vec<Span>;

struct Span {
    is_code: bool,
    text: String,
}

struct Group {
    name: String,
    description: Vec<Paragraph>,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: Vec<Paragraph>,
    is_open: bool,
    /// The scope that the key must have; empty: none.
    scope: String,
    parameters: Vec<Row>,
    body: Vec<Row>,
    request: String,
    responses: Vec<ResponseDoc>,
}

/// A field, parameter or header.
struct Row {
    name: String,
    place: String,
    is_required: bool,
    rule: String,
    description: Vec<Paragraph>,
}

struct ResponseDoc {
    status: String,
    is_error: bool,
    description: Vec<Paragraph>,
    headers: Vec<Row>,
    fields: Vec<Row>,
    example: String,
}

struct ErrorRow {
    status: String,
    code: &'static str,
    message: &'static str,
    help: Vec<Paragraph>,
}

/// Renders the page from the OpenAPI document.
pub(crate) fn render(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let page = Page {
        title: text("/info/title").to_owned(),
        version: text("/info/version").to_owned(),
        introduction: paragraphs(text("/info/description")),
        authentication: paragraphs(text("/components/securitySchemes/apiKey/description")),
        groups: groups(document),
        errors: errors(),
    };
    // A template with only text fields cannot fail.
    page.render().unwrap_or_default()
}

fn errors() -> Vec<ErrorRow> {
    let row = |code: &crate::error::Code| ErrorRow {
        status: code.status().as_str().to_owned(),
        code: code.name(),
        message: code.message(),
        help: paragraphs(code.help()),
    };
    crate::error::Code::ALL.iter().map(row).collect()
}

fn groups(document: &Value) -> Vec<Group> {
    let tags = document.get("tags").and_then(Value::as_array).into_iter().flatten();
    let group = |tag: &Value| {
        let name = str_of(tag, "name");
        let operations = operations(document).filter(|(_, _, operation)| {
            operation.pointer("/tags/0").and_then(Value::as_str) == Some(name.as_str())
        });
        Group {
            description: paragraphs(&str_of(tag, "description")),
            operations: operations
                .map(|(path, method, operation)| read_operation(document, path, method, operation))
                .collect(),
            name,
        }
    };
    tags.map(group).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn read_operation(document: &Value, path: &str, method: &str, operation: &Value) -> Operation {
    let is_open = operation.get("security").is_some_and(|security| *security == json!([]));
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    let body = body.map(|schema| resolve(document, schema));
    let method = method.to_uppercase();
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let responses = operation.get("responses").and_then(Value::as_object).into_iter().flatten();
    Operation {
        id: str_of(operation, "operationId"),
        summary: str_of(operation, "summary"),
        description: paragraphs(&str_of(operation, "description")),
        is_open,
        scope: operation
            .pointer("/security/0/apiKey/0")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        parameters: parameters.map(|parameter| read_parameter(document, parameter)).collect(),
        body: body.map(|schema| fields(document, schema)).unwrap_or_default(),
        request: curl(&method, path, is_open, body.map(|schema| example(document, schema))),
        responses: responses.map(|(status, response)| read_response(document, status, response)).collect(),
        method,
        path: path.to_owned(),
    }
}

fn read_parameter(document: &Value, parameter: &Value) -> Row {
    let schema = parameter.get("schema").map_or(&Value::Null, |schema| resolve(document, schema));
    Row {
        name: str_of(parameter, "name"),
        place: str_of(parameter, "in"),
        is_required: parameter.get("required") == Some(&json!(true)),
        rule: rule(schema),
        description: paragraphs(&str_of(parameter, "description")),
    }
}

fn read_response(document: &Value, status: &str, response: &Value) -> ResponseDoc {
    let content = response.pointer("/content/application~1json");
    let schema = content.and_then(|content| content.get("schema")).map(|schema| resolve(document, schema));
    let is_error = !status.starts_with(['2', '3']);
    let examples = content.and_then(|content| content.get("examples")).and_then(Value::as_object);
    let examples = examples.into_iter().flatten().filter_map(|(_, example)| example.get("value"));
    let mut examples: Vec<_> = examples.map(ToString::to_string).collect();
    if let Some(schema) = schema.filter(|_| examples.is_empty())
        && schema.get("properties").is_some()
    {
        examples.push(pretty(&example(document, schema)));
    }
    let headers = response.get("headers").and_then(Value::as_object).into_iter().flatten();
    ResponseDoc {
        status: status.to_owned(),
        is_error,
        description: paragraphs(&str_of(response, "description")),
        headers: headers
            .filter(|(name, _)| !is_common(name, status))
            .map(|(name, header)| Row { name: name.clone(), ..read_parameter(document, header) })
            .collect(),
        fields: schema.filter(|_| !is_error).map(|schema| fields(document, schema)).unwrap_or_default(),
        example: examples.join("\n"),
    }
}

/// Whether nearly every response has this header, so that the page shows it only where it matters.
fn is_common(header: &str, status: &str) -> bool {
    match header {
        "X-Request-Id" | "Cache-Control" => true,
        "RateLimit" | "RateLimit-Policy" => status != "429",
        _ => false,
    }
}

fn fields(document: &Value, schema: &Value) -> Vec<Row> {
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let row = |(name, property): (&String, &Value)| {
        let property = resolve(document, property);
        Row {
            name: name.clone(),
            place: String::new(),
            is_required: required.iter().any(|required| *required == name),
            rule: rule(property),
            description: paragraphs(&str_of(property, "description")),
        }
    };
    properties.map(row).collect()
}

/// The type and limits of a schema, as text.
fn rule(schema: &Value) -> String {
    let types: Vec<_> = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one.as_str()],
        _ => Vec::new(),
    };
    let number = |name: &str| schema.get(name).and_then(Value::as_u64);
    let mut words = vec![types.join(" or ")];
    match (number("minLength"), number("maxLength")) {
        (Some(least), Some(most)) => words.push(format!("{least} to {most} characters")),
        (None, Some(most)) => words.push(format!("up to {most} characters")),
        _ => {}
    }
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => words.push(format!("{least} to {most}")),
        (Some(least), None) => words.push(format!("from {least}")),
        _ => {}
    }
    if let Some(default) = schema.get("default") {
        words.push(format!("{default} if not given"));
    }
    words.join(", ")
}

/// An example value of a schema, composed of the examples of its parts.
fn example(document: &Value, schema: &Value) -> Value {
    let schema = resolve(document, schema);
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let of = |(name, property): (&String, &Value)| (name.clone(), example(document, property));
        return Value::Object(properties.iter().map(of).collect::<Map<_, _>>());
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => json!(true),
        Some("array") => schema.get("items").map_or(json!([]), |items| json!([example(document, items)])),
        Some("integer") => json!(1),
        _ => json!("\u{2026}"),
    }
}

/// A curl command.
fn curl(method: &str, path: &str, is_open: bool, body: Option<Value>) -> String {
    let mut words = vec!["curl".to_owned()];
    if method != "GET" {
        words.push(format!("-X {method}"));
    }
    words.push(format!(
        "\"$SERVICE{}\"",
        path.replace("{connectionId}", "$CONNECTION_ID")
            .replace("{jobId}", "$JOB_ID")
            .replace("{keyId}", "$KEY_ID")
    ));
    if !is_open {
        words.push("\\\n  -H \"Authorization: $API_KEY\"".to_owned());
    }
    if let Some(body) = body {
        words.push(format!("\\\n  -H 'Content-Type: application/json' \\\n  -d '{}'", pretty(&body)));
    }
    words.join(" ")
}

/// Follows a `$ref`.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

fn str_of(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn paragraphs(text: &str) -> Vec<Paragraph> {
    let span = |(index, text): (usize, &str)| Span { is_code: index % 2 == 1, text: text.to_owned() };
    let paragraph = |text: &str| text.split('`').enumerate().map(span).collect();
    text.split("\n\n").filter(|text| !text.is_empty()).map(paragraph).collect()
}

/// This description, for people
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "Service", security(()),
    responses((status = 200, description = "A page of HTML.", content_type = "text/html", body = String)),
)]
pub(crate) async fn docs_page(State(shared): State<Shared>) -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, shared.docs.clone()).into_response()
}
