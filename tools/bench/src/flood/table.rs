//! The table of a flood: ratios first, then what they come from.

use std::fmt::Write as _;

use super::answers::{Answers, Latency};
use super::{Flood, Kind, Observed, Results};
use crate::operations::share;

const NONE: &str = "-";
const NAME_WIDTH: usize = 42;
const WIDTH: usize = 24;

/// How many times the p99 of the second the p99 of the first is. `None` without requests.
pub(super) fn p99_ratio(latency: Latency, unloaded: Latency) -> Option<f64> {
    (latency.count > 0 && unloaded.count > 0).then(|| share(latency.p99_us, unloaded.p99_us))
}

impl Results {
    /// A table, to read: a column for each flood, after the unloaded service.
    pub(crate) fn table(&self) -> String {
        let mut rows = self.ratios();
        rows.push(Vec::new());
        rows.extend(self.figures());
        let mut text = String::new();
        for row in rows {
            for (at, cell) in row.iter().enumerate() {
                let _ = if at == 0 {
                    write!(text, "{cell:<NAME_WIDTH$}")
                } else {
                    write!(text, " {cell:>WIDTH$}")
                };
            }
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "\nLatencies in ms. Capacity: {:.0} creates/s. Each flood took {} s; its latencies include the time in the \
             bench, which shares the cores.",
            self.capacity_per_second, self.seconds
        );
        for fault in self.faults() {
            let _ = writeln!(text, "VOID: {fault}");
        }
        text
    }

    fn ratios(&self) -> Vec<Vec<String>> {
        let times = |ratio: Option<f64>| ratio.map_or_else(|| NONE.to_owned(), |ratio| format!("{ratio:.2}"));
        let unloaded = &self.unloaded;
        vec![
            self.row("", "unloaded", title),
            self.row("honest get: p99 / unloaded", "1", |flood| {
                times(p99_ratio(flood.observed.get.admitted, unloaded.get.admitted))
            }),
            self.row("honest create: p99 / unloaded", "1", |flood| {
                times(p99_ratio(flood.observed.create.admitted, unloaded.create.admitted))
            }),
            self.row("all admitted creates: p99 / unloaded", "1", |flood| {
                times(p99_ratio(flood.admitted_creates, unloaded.create.admitted))
            }),
            self.row("… after the first second", "1", |flood| {
                times(p99_ratio(flood.later_creates, unloaded.create.admitted))
            }),
            self.row("honest gets admitted", &admitted(&unloaded.get), |flood| admitted(&flood.observed.get)),
            self.row("honest creates admitted", &admitted(&unloaded.create), |flood| {
                admitted(&flood.observed.create)
            }),
            self.row("memory: most / before", &memory_ratio(unloaded), |flood| memory_ratio(&flood.observed)),
            self.row("flood / capacity of creates", NONE, |flood| {
                times(Some(flood.attack_per_second / self.capacity_per_second.max(1.0)))
            }),
        ]
    }

    fn figures(&self) -> Vec<Vec<String>> {
        let unloaded = &self.unloaded;
        vec![
            self.row("honest get: p50, p99", &p50_p99(unloaded.get.admitted), |flood| {
                p50_p99(flood.observed.get.admitted)
            }),
            self.row("honest create: p50, p99", &p50_p99(unloaded.create.admitted), |flood| {
                p50_p99(flood.observed.create.admitted)
            }),
            self.row("all admitted creates: p50, p99", NONE, |flood| p50_p99(flood.admitted_creates)),
            self.row("… after the first second", NONE, |flood| p50_p99(flood.later_creates)),
            self.row("honest requests with 429, with 503", &refused(unloaded), |flood| {
                refused(&flood.observed)
            }),
            self.row("flood: requests/s", NONE, |flood| format!("{:.0}", flood.attack_per_second)),
            self.row("flood: admitted", NONE, |flood| {
                (flood.attack.admitted.count + flood.attack.admitted_after_refusal).to_string()
            }),
            self.row("flood: at once after a refusal, p99", NONE, |flood| {
                counted(flood.attack.after_refusal)
            }),
            self.row("flood: 429, p99", NONE, |flood| counted(flood.attack.rate_limited)),
            self.row("flood: 503, p99", NONE, |flood| counted(flood.attack.overloaded)),
            self.row("flood: 503 for another reason", NONE, |flood| flood.attack.unavailable.to_string()),
            self.row("flood: 401, p99", NONE, |flood| counted(flood.attack.key_refused)),
            self.row("health: 200 of all, p99", &health(&unloaded.health), |flood| {
                health(&flood.observed.health)
            }),
            self.row("memory in MiB: before, most", &memory(unloaded), |flood| memory(&flood.observed)),
            self.row("cores: service, bench", &cores(unloaded), |flood| cores(&flood.observed)),
            self.row("recovered after ms", NONE, |flood| {
                let recovered = flood.recovery.recovered_ms;
                recovered.map_or_else(|| "not in 10 s".to_owned(), |recovered| recovered.to_string())
            }),
        ]
    }

    fn row(&self, name: &str, unloaded: &str, of: impl Fn(&Flood) -> String) -> Vec<String> {
        let head = [name.to_owned(), unloaded.to_owned()];
        head.into_iter().chain(self.floods.iter().map(of)).collect()
    }
}

fn title(flood: &Flood) -> String {
    match (flood.kind, flood.account_writes) {
        (Kind::Writes, None) => "writes, defaults".to_owned(),
        (Kind::Writes, Some(limit)) => format!("writes, {limit} at once"),
        (Kind::UnknownKeys, None) => "unknown keys, defaults".to_owned(),
        (Kind::UnknownKeys, Some(limit)) => format!("unknown keys ({limit})"),
    }
}

fn ms(micros: u64) -> String {
    format!("{:.1}", share(micros, 1_000))
}

fn p50_p99(latency: Latency) -> String {
    if latency.count == 0 {
        return NONE.to_owned();
    }
    format!("{}, {}", ms(latency.p50_us), ms(latency.p99_us))
}

fn counted(latency: Latency) -> String {
    if latency.count == 0 { "0".to_owned() } else { format!("{}, {}", latency.count, ms(latency.p99_us)) }
}

fn admitted(answers: &Answers) -> String {
    format!("{:.3}", share(answers.admitted.count, answers.count()))
}

fn refused(observed: &Observed) -> String {
    let sum = |of: fn(&Answers) -> u64| of(&observed.get) + of(&observed.create);
    let (limited, shed) = (
        sum(|answers| answers.rate_limited.count),
        sum(|answers| answers.overloaded.count + answers.unavailable),
    );
    format!("{limited}, {shed}")
}

fn health(answers: &Answers) -> String {
    format!("{}/{}, {}", answers.admitted.count, answers.count(), ms(answers.admitted.p99_us))
}

fn most(observed: &Observed) -> u64 {
    observed.rss_by_second.iter().copied().max().unwrap_or(observed.rss_before)
}

fn memory_ratio(observed: &Observed) -> String {
    format!("{:.2}", share(most(observed), observed.rss_before))
}

fn memory(observed: &Observed) -> String {
    let mib = |bytes| share(bytes, 1_048_576);
    format!("{:.0}, {:.0}", mib(observed.rss_before), mib(most(observed)))
}

fn cores(observed: &Observed) -> String {
    format!("{:.2}, {:.2}", observed.service_cores, observed.bench_cores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flood::traffic::Recovery;

    fn latency(count: u64, p99_us: u64) -> Latency {
        Latency { count, p50_us: p99_us / 2, p99_us, most_us: p99_us }
    }

    fn observed(p99_us: u64, refused: u64) -> Observed {
        let answers = Answers {
            admitted: latency(75, p99_us),
            overloaded: latency(refused, 500),
            ..Answers::default()
        };
        Observed {
            get: answers.clone(),
            create: answers.clone(),
            health: Answers { admitted: latency(40, 900), ..Answers::default() },
            rss_before: 20 << 20,
            rss_by_second: vec![30 << 20, 50 << 20, 40 << 20],
            service_cores: 1.25,
            bench_cores: 0.5,
        }
    }

    fn results() -> Results {
        let flood = Flood {
            kind: Kind::Writes,
            account_writes: Some(40),
            observed: observed(3_000, 25),
            attack: Answers { rate_limited: latency(7, 1_500), ..Answers::default() },
            attack_per_second: 5_000.0,
            admitted_creates: latency(90, 4_000),
            later_creates: latency(80, 3_200),
            recovery: Recovery { recovered_ms: Some(12), answers: Answers::default() },
        };
        Results {
            seconds: 5,
            capacity_per_second: 500.0,
            capacity: Answers::default(),
            unloaded: observed(2_000, 0),
            floods: vec![flood],
        }
    }

    /// The cells of the row with this name.
    fn cells(table: &str, name: &str) -> Vec<String> {
        let row = table.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn ratios_compare_with_the_unloaded_service() {
        let table = results().table();
        assert!(table.lines().next().unwrap().ends_with("writes, 40 at once"));
        for (name, unloaded, flood) in [
            ("honest get: p99 / unloaded", "1", "1.50"),
            ("all admitted creates: p99 / unloaded", "1", "2.00"),
            ("… after the first second", "1", "1.60"),
            ("honest creates admitted", "1.000", "0.750"),
            ("memory: most / before", "2.50", "2.50"),
            ("flood / capacity of creates", "-", "10.00"),
            ("honest create: p50, p99", "1.0, 2.0", "1.5, 3.0"),
            ("honest requests with 429, with 503", "0, 0", "0, 50"),
            ("flood: 429, p99", "-", "7, 1.5"),
            ("flood: 503, p99", "-", "0"),
            ("health: 200 of all, p99", "40/40, 0.9", "40/40, 0.9"),
            ("memory in MiB: before, most", "20, 50", "20, 50"),
            ("cores: service, bench", "1.25, 0.50", "1.25, 0.50"),
            ("recovered after ms", "-", "12"),
        ] {
            assert_eq!(cells(&table, name), [unloaded, flood], "{name}");
        }
        assert!(!table.contains("VOID"));
    }

    #[test]
    fn without_an_admitted_request_there_is_no_ratio() {
        assert_eq!(p99_ratio(Latency::default(), latency(1, 10)), None);
        assert_eq!(p99_ratio(latency(1, 10), latency(1, 5)), Some(2.0));
        let mut results = results();
        results.floods[0].observed.get.admitted = Latency::default();
        results.floods[0].recovery.recovered_ms = None;
        results.floods[0].attack.unexpected = 1;
        results.floods[0].attack.first_unexpected = Some("500".to_owned());
        let table = results.table();
        assert_eq!(cells(&table, "honest get: p99 / unloaded"), ["1", "-"]);
        assert_eq!(cells(&table, "recovered after ms"), ["-", "not in 10 s"]);
        assert!(table.contains("VOID: flood: 1 unexpected answers, the first: 500"));
    }
}
