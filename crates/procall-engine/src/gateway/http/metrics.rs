//! `GET /metrics`: the text form of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use procall::ErrorCode;

use crate::core::{BOUNDS, Core, Counted, State};
use crate::facts::Speaks;

/// One method's figures.
struct Row {
    name: Arc<str>,
    counted: Counted,
    waiting: usize,
    workers: usize,
}

/// All figures.
pub(super) fn text(core: &Core) -> String {
    let (mut rows, peers, draining) =
        core.with(|state| (rows(state), peers(state), state.draining));
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = Text(String::new());
    calls(&mut out, &rows, &core.unknown.counted());
    durations(&mut out, &rows);
    let gauge = |out: &mut Text, name: &str, help: &str, value: &dyn Fn(&Row) -> u64| {
        out.family(name, "gauge", help);
        rows.iter().for_each(|row| out.sample(name, &[("method", &row.name)], value(row)));
    };
    gauge(
        &mut out,
        "procall_calls_in_flight",
        "Calls on their way, waiting ones included.",
        &|row| row.counted.under_way,
    );
    gauge(&mut out, "procall_calls_waiting", "Calls that wait for a worker.", &|row| {
        row.waiting as u64
    });
    gauge(&mut out, "procall_workers", "Workers that serve the method.", &|row| row.workers as u64);
    out.family("procall_peers", "gauge", "Peers that are connected, by what they speak.");
    for (speaks, count) in peers {
        out.sample("procall_peers", &[("speaks", speaks)], count);
    }
    let strays = core.strays.counted();
    let name = "procall_json_strays_total";
    out.family(
        name,
        "counter",
        "Of peers that speak JSON: answers that nobody asked for or waited for any more, and notifications that a slow one did not get.",
    );
    for (what, count) in
        [("unasked", strays.unasked), ("late", strays.late), ("dropped", strays.dropped)]
    {
        out.sample(name, &[("what", what)], count);
    }
    if let Some(exporter) = &core.exporter {
        let (sent, dropped) = exporter.counted();
        let name = "procall_spans_total";
        out.family(name, "counter", "Calls by what became of their spans.");
        out.sample(name, &[("what", "sent")], sent);
        out.sample(name, &[("what", "dropped")], dropped);
    }
    out.family("procall_engine_draining", "gauge", "1 while the engine takes no new calls.");
    out.sample("procall_engine_draining", &[], u64::from(draining));
    out.family("procall_engine_info", "gauge", "The engine's version.");
    out.sample("procall_engine_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.0
}

fn rows(state: &State) -> Vec<Row> {
    let row = |method: &crate::core::Method| Row {
        name: method.name.clone(),
        counted: method.tally.counted(),
        waiting: method.waiting.len(),
        workers: method.providers.len(),
    };
    state.methods.values().map(row).collect()
}

fn peers(state: &State) -> BTreeMap<&'static str, u64> {
    let all = ["native", "json", "roadmap", "http"];
    let mut peers: BTreeMap<_, _> = all.into_iter().map(|speaks| (speaks, 0)).collect();
    for peer in state.peers.values() {
        let speaks = match peer.facts.speaks {
            Speaks::Native => "native",
            Speaks::Json => "json",
            Speaks::Roadmap => "roadmap",
            Speaks::Http => "http",
            Speaks::Inside => continue,
        };
        *peers.entry(speaks).or_insert(0) += 1;
    }
    peers
}

/// Calls to methods that nobody knows stand under the empty name: callers do not make up labels.
fn calls(out: &mut Text, rows: &[Row], unknown: &Counted) {
    out.family("procall_calls_total", "counter", "Calls by method and outcome.");
    let all = rows.iter().map(|row| (&*row.name, &row.counted)).chain([("", unknown)]);
    for (name, counted) in all {
        for &(code, count) in &counted.outcomes {
            let code = code.map_or("OK", ErrorCode::name);
            out.sample("procall_calls_total", &[("method", name), ("code", code)], count);
        }
    }
}

fn durations(out: &mut Text, rows: &[Row]) {
    let name = "procall_call_duration_seconds";
    out.family(name, "histogram", "Time from a call's arrival to its outcome, waiting included.");
    let called = rows.iter().filter(|row| row.counted.buckets.iter().any(|&count| count > 0));
    for row in called {
        let mut count = 0;
        let bucket = format!("{name}_bucket");
        for (at, &within) in row.counted.buckets.iter().enumerate() {
            count += within;
            let bound = BOUNDS.get(at).map_or_else(|| "+Inf".to_owned(), |&micros| seconds(micros));
            out.sample(&bucket, &[("method", &row.name), ("le", &bound)], count);
        }
        let labels = [("method", &*row.name)];
        out.sample(&format!("{name}_sum"), &labels, seconds(row.counted.sum));
        out.sample(&format!("{name}_count"), &labels, count);
    }
}

fn seconds(micros: u64) -> String {
    (micros as f64 / 1e6).to_string()
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a text does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push_str(if at == 0 { "{" } else { "," });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' | '"' => self.0.extend(['\\', c]),
                    '\n' => self.0.push_str("\\n"),
                    _ => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text(String::new());
        text.sample("a", &[("method", "x\"y\\z\nw"), ("b", "c")], 3);
        text.sample("d", &[], 1);
        assert_eq!(text.0, "a{method=\"x\\\"y\\\\z\\nw\",b=\"c\"} 3\nd 1\n");
    }

    #[test]
    fn bounds_are_plain_numbers_of_seconds() {
        let bounds: Vec<String> = BOUNDS.iter().map(|&micros| seconds(micros)).collect();
        assert_eq!((&*bounds[0], &*bounds[13]), ("0.0001", "120"));
    }
}
