//! Workloads: what is loaded, and which requests are drawn in which proportion.
//!
//! Names, defaults and meanings are YCSB's. A [`Workload`] is read once from [`Properties`]; a property that makes
//! no sense is an error that names it.

mod fields;
mod properties;

use crate::chooser::Distribution;
use crate::key::KeyFormat;
pub use fields::{FieldLength, FieldLengths};
pub use properties::{NAMES, Properties, PropertyError};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads a record.
    Read,
    /// Changes one field (or all) of a record.
    Update,
    /// Adds a record.
    Insert,
    /// Reads several records in key order.
    Scan,
    /// Reads a record, then changes it.
    ReadModifyWrite,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Read, Kind::Update, Kind::Insert, Kind::Scan, Kind::ReadModifyWrite];

    /// YCSB's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "READ",
            Kind::Update => "UPDATE",
            Kind::Insert => "INSERT",
            Kind::Scan => "SCAN",
            Kind::ReadModifyWrite => "READ-MODIFY-WRITE",
        }
    }
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its letter or file.
    pub name: String,
    /// Records there are after loading.
    pub record_count: u64,
    /// Operations of a run.
    pub operation_count: u64,
    /// First record of a load.
    pub insert_start: u64,
    /// Records of a load.
    pub insert_count: u64,
    /// Fields of a record.
    pub field_count: usize,
    /// How long fields are.
    pub field_lengths: FieldLengths,
    /// Whether reads want all fields, or one (which costs the same here: a record is one value).
    pub read_all_fields: bool,
    /// Whether updates replace the whole record.
    pub write_all_fields: bool,
    /// Whether values follow from their keys, and reads check them.
    pub data_integrity: bool,
    /// How often each of [`Kind::ALL`] is drawn; not all 0.
    pub proportions: [f64; 5],
    /// Which records are drawn.
    pub distribution: Distribution,
    /// Its name.
    pub distribution_name: &'static str,
    /// How many records a scan reads.
    pub scan_length: FieldLength,
    /// How keys are written.
    pub keys: KeyFormat,
    /// Connections, where the command line gives none.
    pub thread_count: usize,
    /// Operations a second that the closed loop is held to; 0: as fast as it goes.
    pub target: f64,
    /// Seconds after which a run ends; 0: never.
    pub max_execution_time_s: u64,
    /// Seconds between status lines.
    pub status_interval_s: u64,
}

/// The six standard workloads as properties.
fn standard(letter: char) -> Option<&'static str> {
    Some(match letter.to_ascii_lowercase() {
        'a' => "readproportion=0.5\nupdateproportion=0.5\nrequestdistribution=zipfian",
        'b' => "readproportion=0.95\nupdateproportion=0.05\nrequestdistribution=zipfian",
        'c' => "readproportion=1\nupdateproportion=0\nrequestdistribution=zipfian",
        'd' => "readproportion=0.95\nupdateproportion=0\ninsertproportion=0.05\nrequestdistribution=latest",
        'e' => {
            "readproportion=0\nupdateproportion=0\nscanproportion=0.95\ninsertproportion=0.05\n\
             requestdistribution=zipfian\nmaxscanlength=100\nscanlengthdistribution=uniform"
        }
        'f' => {
            "readproportion=0.5\nupdateproportion=0\nreadmodifywriteproportion=0.5\nrequestdistribution=zipfian"
        }
        _ => return None,
    })
}

/// The properties of a workload given as a letter `a` to `f`, or as a file.
pub fn named(workload: &str) -> Result<Properties, PropertyError> {
    let mut letters = workload.chars();
    match (letters.next().and_then(standard), letters.next()) {
        (Some(text), None) => Properties::parse(text),
        _ => Properties::read(workload.as_ref()),
    }
}

/// Records of a load, and a tenth of the operations of a run, where nothing else is said.
pub const RECORD_COUNT: u64 = 100_000;

impl Workload {
    /// Reads a workload.
    pub fn new(name: &str, properties: &Properties) -> Result<Workload, PropertyError> {
        let record_count = properties.get("recordcount", RECORD_COUNT)?;
        let insert_start = properties.get("insertstart", 0)?;
        let insert_count = properties.get("insertcount", record_count.saturating_sub(insert_start))?;
        if record_count == 0 || insert_count == 0 {
            return Err(PropertyError::Conflict("recordcount and insertcount must be at least 1".into()));
        }
        if insert_start.checked_add(insert_count).is_none_or(|end| end > record_count) {
            return Err(PropertyError::Conflict(format!(
                "recordcount={record_count} is less than insertstart={insert_start} + insertcount={insert_count}"
            )));
        }
        let (distribution_name, distribution) = distribution(properties, record_count)?;
        let field_count = properties.get("fieldcount", 10)?;
        if field_count == 0 {
            return Err(PropertyError::Conflict("fieldcount must be at least 1".into()));
        }
        let hashed = properties.choose("insertorder", &[("hashed", true), ("ordered", false)])?;
        let workload = Workload {
            name: name.to_owned(),
            record_count,
            operation_count: properties.get("operationcount", record_count.saturating_mul(10))?,
            insert_start,
            insert_count,
            field_count,
            field_lengths: FieldLengths::new(properties)?,
            read_all_fields: properties.get("readallfields", true)?,
            write_all_fields: properties.get("writeallfields", false)?,
            data_integrity: properties.get("dataintegrity", false)?,
            proportions: proportions(properties)?,
            distribution,
            distribution_name,
            scan_length: scan_length(properties)?,
            keys: KeyFormat { hashed, zero_padding: properties.get("zeropadding", 1)? },
            thread_count: properties.get("threadcount", 1)?,
            target: properties.get("target", 0.0)?,
            max_execution_time_s: properties.get("maxexecutiontime", 0)?,
            status_interval_s: properties.get("status.interval", 10)?,
        };
        if workload.data_integrity && !matches!(workload.field_lengths.0, FieldLength::Constant(_)) {
            let text = "dataintegrity=true needs fieldlengthdistribution=constant".to_owned();
            return Err(PropertyError::Conflict(text));
        }
        Ok(workload)
    }

    /// How often requests of a kind are drawn.
    pub fn proportion(&self, kind: Kind) -> f64 {
        self.proportions[kind as usize]
    }

    /// About how many records a run of `operations` adds, with room.
    pub fn expected_inserts(&self, operations: u64) -> u64 {
        let total: f64 = self.proportions.iter().sum();
        (operations as f64 * self.proportion(Kind::Insert) / total * 2.0) as u64
    }

    /// Whether an update must read the record first.
    pub fn updates_read(&self) -> bool {
        !self.write_all_fields && self.field_count > 1
    }
}

fn proportions(properties: &Properties) -> Result<[f64; 5], PropertyError> {
    let names: [(&str, f64); 5] = [
        ("readproportion", 0.95),
        ("updateproportion", 0.05),
        ("insertproportion", 0.0),
        ("scanproportion", 0.0),
        ("readmodifywriteproportion", 0.0),
    ];
    let mut proportions = [0.0; 5];
    for (proportion, (name, default)) in proportions.iter_mut().zip(names) {
        *proportion = properties.get(name, default)?;
        if !(*proportion >= 0.0 && proportion.is_finite()) {
            let expected = "expected a number, 0 or more".to_owned();
            return Err(PropertyError::Value { name, value: proportion.to_string(), expected });
        }
    }
    if proportions.iter().sum::<f64>() <= 0.0 {
        return Err(PropertyError::Conflict("all proportions are 0: there is nothing to do".into()));
    }
    Ok(proportions)
}

fn distribution(
    properties: &Properties,
    record_count: u64,
) -> Result<(&'static str, Distribution), PropertyError> {
    let names = ["uniform", "zipfian", "latest", "hotspot", "exponential", "sequential"];
    let words = names.map(|name| (name, name));
    let name = properties.choose("requestdistribution", &words)?;
    let distribution = match name {
        "zipfian" => Distribution::Zipfian,
        "latest" => Distribution::Latest,
        "hotspot" => Distribution::Hotspot {
            data_fraction: properties.get("hotspotdatafraction", 0.2)?,
            operation_fraction: properties.get("hotspotopnfraction", 0.8)?,
        },
        "exponential" => {
            let fraction = properties.get("exponential.frac", 0.8571428571)?;
            let percentile = properties.get("exponential.percentile", 95.0)?;
            if !(0.0 < fraction && 0.0 < percentile && percentile < 100.0) {
                let text = "exponential.frac must be above 0, exponential.percentile between 0 and 100";
                return Err(PropertyError::Conflict(text.into()));
            }
            Distribution::Exponential { percentile, newest: record_count as f64 * fraction }
        }
        "sequential" => Distribution::Sequential,
        _ => Distribution::Uniform,
    };
    Ok((name, distribution))
}

fn scan_length(properties: &Properties) -> Result<FieldLength, PropertyError> {
    let min = properties.get("minscanlength", 1u64)?;
    let max = properties.get("maxscanlength", 1000u64)?;
    if min == 0 || min > max {
        let text = format!("minscanlength={min} must be at least 1 and at most maxscanlength={max}");
        return Err(PropertyError::Conflict(text));
    }
    let uniform = properties.choose("scanlengthdistribution", &[("uniform", true), ("zipfian", false)])?;
    Ok(if uniform { FieldLength::Uniform(min, max) } else { FieldLength::zipfian(min, max) })
}

#[cfg(test)]
#[path = "workload_test.rs"]
mod tests;
