//! `node_hwmon_*` from `/sys/class/hwmon`: temperatures, fans, voltages and the like.

mod naming;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::MetricType;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, list, read};
use naming::{clean, metric_for, split_file_name};

/// Properties by name, of one sensor.
type Properties = BTreeMap<String, String>;

/// One directory of `/sys/class/hwmon`.
#[derive(Debug)]
struct Chip {
    dir: PathBuf,
    /// From its device's place, else its name file, else its directory.
    base_name: String,
    /// What its name file says.
    name: Option<String>,
}

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let dir = host.roots.sys.join("class/hwmon");
    let names = list(&dir).map_err(CollectError::absent_is_no_data)?;
    let chips: Vec<Chip> =
        names.iter().map(|name| dir.join(name)).filter(|dir| dir.is_dir()).filter_map(chip).collect();
    let mut outcome = Ok(());
    for chip in &chips {
        if let Err(error) = push_chip(chip, &unique_name(chip, &chips), out) {
            outcome = Err(error);
        }
    }
    outcome
}

fn chip(dir: PathBuf) -> Option<Chip> {
    let name = read(&dir.join("name")).ok();
    let base_name = device_name(&dir)
        .or_else(|| name.as_deref().map(clean).filter(|name| !name.is_empty()))
        .or_else(|| std::fs::canonicalize(&dir).ok().and_then(|real| last_name(&real)))?;
    Some(Chip { dir, base_name, name })
}

/// `<bus>_<device>` of the device behind a chip, which stays the same from boot to boot.
fn device_name(dir: &Path) -> Option<String> {
    let device = std::fs::canonicalize(dir.join("device")).ok()?;
    let name = last_name(&device)?;
    let bus = device.parent().and_then(last_name);
    Some(bus.map_or_else(|| name.clone(), |bus| format!("{bus}_{name}")))
}

fn last_name(path: &Path) -> Option<String> {
    let name = clean(&path.file_name()?.to_string_lossy());
    (!name.is_empty()).then_some(name)
}

/// Several chips may belong to one device; then their name files tell them apart, else their
/// directories.
fn unique_name(chip: &Chip, chips: &[Chip]) -> String {
    let siblings = || chips.iter().filter(|other| other.base_name == chip.base_name);
    if siblings().count() == 1 {
        return chip.base_name.clone();
    }
    let trimmed = |chip: &Chip| chip.name.as_deref().unwrap_or("").trim().to_owned();
    let own = trimmed(chip);
    let mut suffix = clean(&own);
    if suffix.is_empty() || siblings().filter(|other| trimmed(other) == own).count() > 1 {
        suffix = last_name(&chip.dir).unwrap_or_default();
    }
    format!("{}_{suffix}", chip.base_name)
}

fn push_chip(chip: &Chip, label: &str, out: &mut Families) -> Result<(), CollectError> {
    let mut sensors = BTreeMap::new();
    read_sensors(&chip.dir, &mut sensors)?;
    let device = chip.dir.join("device");
    if device.exists() {
        read_sensors(&device, &mut sensors)?;
    }
    let chip_name = chip.name.as_deref().map(clean).filter(|name| !name.is_empty());
    if let Some(chip_name) = chip_name {
        out.gauge("node_hwmon_chip_names", "The name a chip gives itself.")
            .push(&[("chip", label), ("chip_name", &chip_name)], 1.0);
    }
    for (sensor, properties) in &sensors {
        push_sensor(label, sensor, properties, out);
    }
    Ok(())
}

/// Adds the files of sensors in `dir`. A sensor that is switched off cannot be read and is left out.
fn read_sensors(dir: &Path, sensors: &mut BTreeMap<String, Properties>) -> Result<(), CollectError> {
    for file in list(dir)? {
        let Some((kind, number, property)) = split_file_name(&file) else { continue };
        if let Ok(text) = read(&dir.join(&file)) {
            let properties = sensors.entry(format!("{kind}{number}")).or_default();
            properties.insert(property.to_owned(), text.trim_matches('\n').to_owned());
        }
    }
    Ok(())
}

fn push_sensor(chip: &str, sensor: &str, properties: &Properties, out: &mut Families) {
    let kind = sensor.trim_end_matches(|c: char| c.is_ascii_digit());
    let labels = [("chip", chip), ("sensor", sensor)];
    if let Some(label) = properties.get("label") {
        out.gauge("node_hwmon_sensor_label", "The name of a sensor.")
            .push(&[("chip", chip), ("sensor", sensor), ("label", label)], 1.0);
    }
    for (property, text) in properties.iter().filter(|(property, _)| *property != "label") {
        let Some(metric) = metric_for(kind, property, properties.contains_key("")) else { continue };
        // Drivers write words where a sensor has no number.
        let value = match text.parse::<f64>() {
            _ if metric.is_flag => f64::from(u8::from(text == "1")),
            Ok(value) => metric.unit.convert(value),
            Err(_) => continue,
        };
        let metric_type = if metric.is_counter { MetricType::Counter } else { MetricType::Gauge };
        let family = out.family(&metric.name, metric_type, &metric.help);
        if kind == "freq" && property == "input" {
            // Only a name says whose frequency it is, so the name is the label.
            if let Some(label) = properties.get("label") {
                family.push(&[("chip", chip), ("sensor", &clean(label))], value);
            }
        } else {
            family.push(&labels, value);
        }
    }
}
