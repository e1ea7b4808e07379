//! The metrics page: the cores' statistics in Prometheus' text format, one label `shard` a core.

use crate::stats::{Class, CoreStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// Writes the page. Cores that didn't answer in time are missing, and counted as such.
pub fn page(cores: Vec<CoreStats>, silent: usize) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot { cores: cores.into(), silent }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot {
    cores: Arc<[CoreStats]>,
    silent: usize,
}

type Figure = (&'static str, &'static str, fn(&CoreStats) -> u64);

const COUNTERS: &[Figure] = &[
    ("pinion_received_bytes", "Bytes received from clients", |core| core.received_bytes),
    ("pinion_sent_bytes", "Bytes sent to clients", |core| core.sent_bytes),
    ("pinion_connections_accepted", "Connections accepted", |core| core.connections_accepted),
    ("pinion_connections_refused", "Connections refused because there were too many", |core| {
        core.connections_refused
    }),
    ("pinion_forwarded", "Requests sent on to the core that owns the key", |core| core.forwarded),
    ("pinion_taken_over", "Requests received from other cores", |core| core.taken_over),
    ("pinion_stall_microseconds", "Time that writers were held back, summed over connections", |core| {
        core.stall_us
    }),
    ("pinion_log_commits", "Group commits of the log", |core| core.storage.log_commits),
    ("pinion_written_bytes", "Bytes of keys and values written by clients", |core| {
        core.storage.written_bytes
    }),
    ("pinion_flushes", "Memtables flushed", |core| core.storage.flushes),
    ("pinion_merges", "Merges done", |core| core.storage.merges),
    ("pinion_job_errors", "Background jobs that failed", |core| core.storage.job_errors),
    ("pinion_read_errors", "Blocks that couldn't be read or were damaged", |core| core.storage.read_errors),
    ("pinion_log_failures", "Log writes and syncs that failed", |core| core.storage.log_failures),
    ("pinion_requests_timed_out", "Requests ended because their time was over", |core| {
        core.storage.timed_out + core.timed_out
    }),
    ("pinion_requests_repeated", "Requests that were done before, and answered again", |core| {
        core.storage.repeated
    }),
    (
        "pinion_requests_forgotten",
        "Requests of which it wasn't known any more whether they were done",
        |core| core.storage.forgotten,
    ),
    (
        "pinion_connections_dismissed",
        "Connections closed because they held memory that others waited for",
        |core| core.dismissed,
    ),
    ("pinion_stalled_turns", "Turns of the reactor that held everything up", |core| core.stalled_turns),
    ("pinion_cache_hits", "Block look-ups that the cache answered", |core| core.storage.cache_hits),
    ("pinion_cache_misses", "Block look-ups that the cache didn't answer", |core| core.storage.cache_misses),
];

const GAUGES: &[Figure] = &[
    ("pinion_connections", "Connections now", |core| core.connections),
    ("pinion_in_flight", "Requests that are not answered yet", |core| core.in_flight),
    ("pinion_clients_bytes", "Bytes that connections take: input, output, replies", |core| {
        core.clients_bytes
    }),
    ("pinion_clients_bytes_max", "Bytes that connections may take", |core| core.clients_bytes_max),
    (
        "pinion_requests_remembered_bytes",
        "Bytes of what is remembered of requests that are done once",
        |core| core.storage.once_bytes,
    ),
    ("pinion_memtable_bytes", "Bytes in memtables", |core| core.storage.memtable_bytes),
    ("pinion_memtables_frozen", "Frozen memtables that wait for their flush", |core| {
        core.storage.memtables_frozen
    }),
    ("pinion_table_bytes", "Bytes of all tables", |core| core.storage.table_bytes),
    ("pinion_resident_bytes", "Bytes of resident tables", |core| core.storage.resident_bytes),
    ("pinion_cache_bytes", "Bytes in the block cache", |core| core.storage.cache_bytes),
    ("pinion_compaction_debt_bytes", "Bytes that merges still have to move", |core| {
        core.storage.compaction_debt_bytes
    }),
    ("pinion_log_live_bytes", "Bytes of the log that a restart would replay", |core| {
        core.storage.log_live_bytes
    }),
    ("pinion_read_only", "1 while the shard takes no writes", |core| {
        u64::from(core.storage.read_only.is_some())
    }),
    ("pinion_turn_max_microseconds", "Longest turn of the reactor", |core| core.turns.max_us()),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let silent = encoder.encode_descriptor(
            "pinion_silent_shards",
            "Shards that gave no figures in time",
            None,
            MetricType::Gauge,
        );
        silent?.encode_gauge(&(self.silent as u64))?;
        let dropped = encoder.encode_descriptor(
            "pinion_log_lines_dropped",
            "Log lines dropped because standard error took no more",
            None,
            MetricType::Counter,
        );
        dropped?.encode_counter::<NoLabelSet, u64, u64>(&crate::logging::dropped(), None)?;
        for &(name, help, figure) in COUNTERS {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.each(metric, |metric, core| {
                metric.encode_counter::<NoLabelSet, u64, u64>(&figure(core), None)
            })?;
        }
        for &(name, help, figure) in GAUGES {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            self.each(metric, |metric, core| metric.encode_gauge(&figure(core)))?;
        }
        self.turns(&mut encoder)?;
        self.tables(&mut encoder)?;
        self.requests(&mut encoder)
    }
}

impl Snapshot {
    fn each(
        &self,
        mut metric: MetricEncoder<'_>,
        mut write: impl FnMut(&mut MetricEncoder<'_>, &CoreStats) -> Result<(), fmt::Error>,
    ) -> Result<(), fmt::Error> {
        for core in self.cores.iter() {
            write(&mut metric.encode_family(&[("shard", core.core.to_string())])?, core)?;
        }
        Ok(())
    }

    fn turns(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let metric = encoder.encode_descriptor(
            "pinion_turn_seconds",
            "Length of the reactor's turns",
            None,
            MetricType::Histogram,
        )?;
        self.each(metric, |metric, core| {
            let turns = &core.turns;
            metric.encode_histogram::<NoLabelSet>(
                turns.sum_us() as f64 / 1e6,
                turns.count(),
                &turns.buckets_s(),
                None,
            )
        })
    }

    fn tables(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric =
            encoder.encode_descriptor("pinion_tables", "Tables per level", None, MetricType::Gauge)?;
        for core in self.cores.iter() {
            for (level, count) in core.storage.tables.iter().enumerate() {
                let labels = [("shard", core.core.to_string()), ("level", level.to_string())];
                metric.encode_family(&labels)?.encode_gauge(count)?;
            }
        }
        Ok(())
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric =
            encoder.encode_descriptor("pinion_requests", "Requests answered", None, MetricType::Counter)?;
        for core in self.cores.iter() {
            for class in Class::ALL {
                let stats = &core.classes[class as usize];
                let done = stats.answered - stats.refused - stats.unknown;
                for (outcome, count) in
                    [("done", done), ("refused", stats.refused), ("unknown", stats.unknown)]
                {
                    let labels = [
                        ("shard", core.core.to_string()),
                        ("class", class.name().to_owned()),
                        ("outcome", outcome.to_owned()),
                    ];
                    metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
                }
            }
        }
        let mut metric = encoder.encode_descriptor(
            "pinion_request_seconds",
            "From a request's arrival to its answer",
            None,
            MetricType::Histogram,
        )?;
        for core in self.cores.iter() {
            for class in Class::ALL {
                let latency = &core.classes[class as usize].latency;
                let labels = [("shard", core.core.to_string()), ("class", class.name().to_owned())];
                metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                    latency.sum_us() as f64 / 1e6,
                    latency.count(),
                    &latency.buckets_s(),
                    None,
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    #[test]
    fn every_core_has_its_figures_on_the_page() {
        let mut busy = CoreStats { core: 1, ..CoreStats::default() };
        busy.class(Class::Read).answered = 7;
        busy.class(Class::Read).latency.record(20, 7);
        busy.storage.tables = vec![2, 3];
        (busy.storage.repeated, busy.storage.once_bytes) = (4, 192);
        let text = page(vec![CoreStats::default(), busy], 1).unwrap();
        for line in [
            "pinion_silent_shards 1",
            "pinion_log_lines_dropped_total 0",
            "pinion_requests_total{shard=\"1\",class=\"read\",outcome=\"done\"} 7",
            "pinion_request_seconds_bucket{le=\"0.000032\",shard=\"1\",class=\"read\"} 7",
            "pinion_tables{shard=\"1\",level=\"1\"} 3",
            "pinion_connections{shard=\"0\"} 0",
            "pinion_turn_seconds_count{shard=\"0\"} 0",
            "pinion_requests_repeated_total{shard=\"1\"} 4",
            "pinion_requests_forgotten_total{shard=\"1\"} 0",
            "pinion_requests_remembered_bytes{shard=\"1\"} 192",
        ] {
            assert!(text.contains(line), "{line} isn't in\n{text}");
        }
    }

    /// Names of this workspace's crates, which begin as metrics do.
    const CRATES: [&str; 6] =
        ["pinion_cluster", "pinion_engine", "pinion_net", "pinion_sim", "pinion_tools", "pinion_ycsb"];

    #[test]
    fn every_metric_that_the_documents_name_is_on_the_page() {
        let page = page(vec![CoreStats::default()], 0).unwrap();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let mut known: Vec<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
        // Of these the page has several figures, or none before there is a table.
        known.extend(["pinion_turn_seconds", "pinion_request_seconds", "pinion_tables"]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut texts = vec![root.join("README.md")];
        documents(&root.join("docs"), &mut texts);
        let (mut unknown, mut named) = (Vec::new(), 0);
        for path in texts {
            let text = std::fs::read_to_string(&path).unwrap();
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.starts_with("pinion_") && !CRATES.contains(word)) {
                named += 1;
                if !known.contains(&word) {
                    unknown.push(format!("{}: {word}", path.display()));
                }
            }
        }
        assert!(
            unknown.is_empty() && named > 0,
            "{named} names, of which these aren't exported: {unknown:#?}"
        );
    }

    /// The texts in a folder and those below it.
    fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => documents(&path, found),
                Some(extension) if extension == "md" => found.push(path),
                _ => {}
            }
        }
    }
}
