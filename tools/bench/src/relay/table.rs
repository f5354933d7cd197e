//! The results as text.

use std::fmt::Write as _;

use super::long::Long;
use super::{Results, Round, Transfer, mib};
use crate::rounds::Spread;

impl Results {
    /// A table: medians over the rounds.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} rounds of {:.0} MiB\n{:<18} {:>7} {:>15} {:>17} {:>17} {:>9}\n",
            self.rounds.len(),
            mib(self.bytes),
            "",
            "MiB/s",
            "least–most",
            "of curl's",
            "CPU s",
            "requests"
        );
        let _ = write!(text, "{}", self.line("curl | curl", |round| round.curl.iter().collect(), None));
        let ours =
            self.line("the service", |round| vec![&round.ours.passage], Some(|r| Some(r.ours_over_curl)));
        let theirs = self.line(
            "@uppy/companion",
            |round| round.companion.iter().collect(),
            Some(|round| round.companion_over_curl),
        );
        let _ = write!(text, "{ours}{theirs}");
        let middle = |of: fn(&Round) -> f64| Spread::of(self.rounds.iter().map(of)).map_or(0.0, |s| s.median);
        let _ = writeln!(
            text,
            "\nthe service, beside that: {:.2} s from the request until the source is asked for the bytes, {:.2} s from \
             the last byte until the job is completed",
            middle(|round| round.ours.before_seconds),
            middle(|round| round.ours.after_seconds),
        );
        for (number, round) in self.rounds.iter().enumerate() {
            let [least, median, most] = round.ours.memory.bounds().map(mib);
            let _ = writeln!(
                text,
                "its memory in round {}: {least:.0}, {median:.0}, {most:.0} MiB (least, median, most)",
                number + 1
            );
        }
        text
    }

    fn line(
        &self,
        name: &str,
        passages: impl Fn(&Round) -> Vec<&Transfer>,
        ratio: Option<fn(&Round) -> Option<f64>>,
    ) -> String {
        let all: Vec<&Transfer> = self.rounds.iter().flat_map(passages).collect();
        let Some(rate) = Spread::of(all.iter().map(|passage| passage.mib_per_second)) else {
            return String::new();
        };
        let ratios = ratio.and_then(|of| Spread::of(self.rounds.iter().filter_map(of)));
        let ratios = ratios.map_or_else(String::new, |found| {
            format!("{:.2} ({:.2}–{:.2})", found.median, found.least, found.most)
        });
        let cpu = Spread::of(all.iter().filter_map(|passage| passage.cpu_seconds));
        format!(
            "{name:<18} {:>7.0} {:>15} {ratios:>17} {:>17} {:>9}\n",
            rate.median,
            format!("{:.0}–{:.0}", rate.least, rate.most),
            cpu.map_or_else(String::new, |spread| format!("{:.2}", spread.median)),
            all.first().map_or(0, |passage| passage.requests),
        )
    }
}

impl Long {
    /// Sentences.
    pub(crate) fn text(&self) -> String {
        let [least, median, most] = self.memory.bounds().map(mib);
        let series: Vec<String> =
            self.memory.series(40).into_iter().map(|bytes| format!("{:.1}", mib(bytes))).collect();
        let foreign =
            if self.foreign_files.is_empty() { "no file".to_owned() } else { self.foreign_files.join(", ") };
        format!(
            "{:.0} MiB in {:.1} s: {:.0} MiB/s, {:.1} s of CPU, {} requests\n\
             resident: {:.1} MiB idle before; then {least:.1}, {median:.1}, {most:.1} MiB (least, median, most of {} \
             samples, one a second)\nover time: {}\n\
             written to disks: {:.2} MiB, the database and its log and the service's log among it, which grew by {:.2} MiB\n\
             new in its directory: {foreign}; in files without a name: {} bytes at the most\n",
            mib(self.bytes),
            self.passage.seconds,
            self.passage.mib_per_second,
            self.passage.cpu_seconds.unwrap_or(0.0),
            self.passage.requests,
            mib(self.idle.rss),
            self.memory.rss.len(),
            series.join(" "),
            mib(self.written_bytes),
            mib(self.directory_grew_bytes),
            self.nameless_bytes,
        )
    }
}
