//! Paged lists, in the envelope that all of Vimeo's lists have.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult};
use crate::errors::{self, Invalid};
use crate::fields::Fields;
use crate::state::{Direction, Order};

const PER_PAGE: usize = 25;
const PER_PAGE_MAX: usize = 100;

/// The items of a list, in order.
pub(crate) struct Items<'a, T> {
    pub(crate) total: usize,
    pub(crate) items: Box<dyn Iterator<Item = T> + 'a>,
}

impl<'a, T: 'a> From<Vec<T>> for Items<'a, T> {
    fn from(items: Vec<T>) -> Self {
        Self { total: items.len(), items: Box::new(items.into_iter()) }
    }
}

/// Responds with the requested page. Only its items are presented, and `present` may leave out members that are not
/// among the fields.
pub(crate) fn answer<'a, T: 'a>(
    request: &ApiRequest,
    items: impl Into<Items<'a, T>>,
    present: impl Fn(T, &Fields) -> Value,
) -> HandlerResult {
    let page = Page::of(request)?;
    let Items { total, items } = items.into();
    // Only the first page may be empty.
    if page.number > 1 && page.first_item() >= total {
        return Err(errors::missing_resource().into());
    }
    let last = total.div_ceil(page.size).max(1);
    let fields = Fields::of_items(request.query.as_deref());
    let data: Vec<Value> = items
        .skip(page.first_item())
        .take(page.size)
        .map(|item| fields.pick(present(item, &fields)))
        .collect();
    let link = |number: usize| format!("{}?{}", request.path, query_of(request, number));
    let envelope = json!({
        "total": total,
        "page": page.number,
        "per_page": page.size,
        "paging": {
            "next": (page.number < last).then(|| link(page.number + 1)),
            "previous": (page.number > 1).then(|| link(page.number - 1)),
            "first": link(1),
            "last": link(last),
        },
        "data": data,
    });
    Ok(errors::answer(StatusCode::OK, "application/vnd.vimeo.list+json", &envelope))
}

/// The query of this request, with another page number.
fn query_of(request: &ApiRequest, page: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(request.query.as_deref().unwrap_or_default().as_bytes()) {
        // Some clients send the whole query twice.
        if name != "page" && !seen.contains(&(name.clone(), value.clone())) {
            query.append_pair(&name, &value);
            seen.push((name, value));
        }
    }
    query.append_pair("page", &page.to_string());
    query.finish()
}

struct Page {
    /// From 1.
    number: usize,
    /// From 1 to 100.
    size: usize,
}

impl Page {
    fn of(request: &ApiRequest) -> Result<Self, ErrorResponse> {
        let mut faults = Vec::new();
        let mut read = |name: &str, default: usize, max: usize| match request.parameter_of_query(name) {
            None => default,
            Some(text) if text.is_empty() => default,
            Some(text) => {
                text.parse().ok().filter(|number| (1..=max).contains(number)).unwrap_or_else(|| {
                    faults.push(Invalid::new(
                        name,
                        2204,
                        "must be a whole number from 1 on, and not too large",
                    ));
                    default
                })
            }
        };
        // Larger page numbers would overflow, and are beyond any end.
        let number = read("page", 1, usize::MAX / PER_PAGE_MAX);
        let size = read("per_page", PER_PAGE, PER_PAGE_MAX);
        if faults.is_empty() { Ok(Self { number, size }) } else { Err(errors::invalid(&faults).into()) }
    }

    fn first_item(&self) -> usize {
        (self.number - 1) * self.size
    }
}

/// The order and direction of a query. Unknown orders mean the order by date.
pub(crate) fn order(request: &ApiRequest) -> (Order, Direction) {
    let order = match request.parameter_of_query("sort").as_deref() {
        Some("alphabetical" | "name") => Order::Alphabetical,
        Some("modified_time" | "last_user_action_event_date" | "last_video") => Order::Modified,
        _ => Order::Date,
    };
    let default = if order == Order::Alphabetical { Direction::Ascending } else { Direction::Descending };
    let direction = match request.parameter_of_query("direction").as_deref() {
        Some("asc") => Direction::Ascending,
        Some("desc") => Direction::Descending,
        _ => default,
    };
    (order, direction)
}

/// Sorts by a key in a direction.
pub(crate) fn sort<T, K: Ord>(things: &mut [T], direction: Direction, key: impl Fn(&T) -> K) {
    things.sort_by_key(key);
    if direction == Direction::Descending {
        things.reverse();
    }
}
