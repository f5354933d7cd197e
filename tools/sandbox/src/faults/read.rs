//! Parses the faults that the controls receive.

use serde_json::Value;

use super::kinds::{at_least_one, names, own_members, read_effect, seconds_from};
use super::timing::{Frequency, NewTiming, Times};
use super::{NewFault, Route};
use crate::control::members::Members;

const COMMON: [&str; 9] =
    ["route", "kind", "times", "after", "every", "probability", "seed", "in_seconds", "for_seconds"];

/// Parameters that an outage does not have, because it applies to every request.
const NOT_FOR_OUTAGES: [&str; 5] = ["times", "after", "every", "probability", "seed"];

/// Parses a fault.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn read(mut members: Members) -> Result<NewFault, String> {
    let kind = members.text("kind")?.ok_or_else(|| format!("A fault needs a `kind`: one of {}.", names()))?;
    let Some(own) = own_members(&kind) else {
        return Err(format!("There is no kind of fault called `{kind}`; there are {}.", names()));
    };
    members.refuse_unknown(&format!("a `{kind}` fault"), &[COMMON.as_slice(), own].concat())?;
    let route = match members.text("route")? {
        Some(route) => Route::read(&route)?,
        None if kind == "outage" => Route::any(),
        None => {
            return Err("A fault needs a `route`, such as `GET /me`, `/videos/*` or `*`.".to_owned());
        }
    };
    let timing = read_timing(&kind, &mut members)?;
    let parameters = members.rest().clone();
    Ok(NewFault { route, timing, effect: read_effect(&kind, members)?, parameters })
}

fn read_timing(kind: &str, members: &mut Members) -> Result<NewTiming, String> {
    if kind == "outage" {
        if let Some(name) = NOT_FOR_OUTAGES.iter().find(|name| members.has(name)) {
            return Err(format!(
                "An `outage` applies to every request in its window, so it takes no `{name}`; a `cut` does."
            ));
        }
        if !members.has("for_seconds") {
            return Err("An `outage` needs `for_seconds`: how long it lasts.".to_owned());
        }
    }
    if kind == "hold" {
        for name in ["times", "for_seconds"] {
            if members.has(name) {
                return Err(format!("A `hold` fault lasts until it is removed, so it takes no `{name}`."));
            }
        }
    }
    let frequency = read_frequency(members)?;
    let starts_in = members.number("in_seconds")?.map(seconds_from);
    let lasts = members.number("for_seconds")?;
    let lasts = lasts.map(|seconds| at_least_one("for_seconds", seconds)).transpose()?.map(seconds_from);
    // A fault with a selection of requests or a duration is not limited to the first request.
    let is_unlimited = kind == "hold" || frequency != Frequency::All || lasts.is_some();
    let default_times = if is_unlimited { Times::Always } else { Times::Left(1) };
    Ok(NewTiming {
        times: read_times(members.take("times"))?.unwrap_or(default_times),
        after: members.number("after")?.unwrap_or(0),
        frequency,
        starts_in,
        lasts,
    })
}

fn read_times(times: Option<Value>) -> Result<Option<Times>, String> {
    match times {
        None => Ok(None),
        Some(Value::String(word)) if word == "always" => Ok(Some(Times::Always)),
        Some(value) => match value.as_u64() {
            Some(0) => Ok(Some(Times::Always)),
            Some(times) => Ok(Some(Times::Left(times))),
            None => Err("`times` must be a whole number, or \"always\".".to_owned()),
        },
    }
}

fn read_frequency(members: &mut Members) -> Result<Frequency, String> {
    let every = members.number("every")?.map(|each| at_least_one("every", each)).transpose()?;
    let probability =
        members.take("probability").map(|parameters| read_probability(&parameters)).transpose()?;
    let seed = members.number("seed")?;
    match (every, probability) {
        (Some(_), Some(_)) => Err("A fault takes either `every` or `probability`, not both.".to_owned()),
        (_, None) if seed.is_some() => Err("A `seed` needs a `probability`.".to_owned()),
        (Some(each), None) => Ok(Frequency::Every(each)),
        (None, Some(probability)) => Ok(Frequency::Chance { probability, seed: seed.unwrap_or(0) }),
        (None, None) => Ok(Frequency::All),
    }
}

fn read_probability(parameters: &Value) -> Result<f64, String> {
    let number = parameters.as_f64().filter(|number| *number > 0.0 && *number <= 1.0);
    number.ok_or_else(|| "`probability` must be a number above 0, and at most 1.".to_owned())
}
