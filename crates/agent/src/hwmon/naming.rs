//! From names of files to names and units of metrics.

/// Kinds of sensors that are read.
const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// How a file's number becomes a metric's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Same,
    Milli,
    Micro,
}

impl Unit {
    /// Multiplying and dividing as node_exporter does makes the last digits equal.
    pub(super) fn convert(self, value: f64) -> f64 {
        match self {
            Self::Same => value,
            Self::Milli => value * 0.001,
            Self::Micro => value / 1_000_000.0,
        }
    }
}

/// What a property of a sensor is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) unit: Unit,
    pub(super) is_counter: bool,
    /// 1 if the file says 1, else 0.
    pub(super) is_flag: bool,
}

/// Lower case letters, digits, colons and underscores, without underscores at the ends.
pub(super) fn clean(name: &str) -> String {
    let lower = name.to_lowercase();
    let keep = |c: char| if matches!(c, 'a'..='z' | '0'..='9' | ':' | '_') { c } else { '_' };
    lower.chars().map(keep).collect::<String>().trim_matches('_').to_owned()
}

/// Kind, number and property of a file: `temp12_crit_alarm`. The number is 0 if there is none.
pub(super) fn split_file_name(file: &str) -> Option<(&str, u32, &str)> {
    let number_at = file.find(|c: char| c.is_ascii_digit());
    let (kind, rest) = match number_at {
        Some(at) => file.split_at(at),
        // Without a number, only whole names are kinds: `update_interval`, `vrm`.
        None => return KINDS.contains(&file).then_some((file, 0, "")),
    };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    let property = match rest {
        "" => "",
        rest => rest.strip_prefix('_').filter(|property| !property.is_empty())?,
    };
    KINDS.contains(&kind).then_some((kind, number.parse().ok()?, property))
}

/// The metric of a property. `bare` says that the sensor also has a file without a property, which
/// then has the name that the reading would have.
pub(super) fn metric_for(kind: &str, property: &str, bare: bool) -> Option<Metric> {
    let whole = match kind {
        "beep_enable" => Some(("beep_enabled", "1 if the hardware may beep.", Unit::Same)),
        "vrm" => Some(("voltage_regulator_version", "The version of the voltage regulator.", Unit::Same)),
        "update_interval" => Some(("update_interval_seconds", "How often a chip measures.", Unit::Milli)),
        _ => None,
    };
    if let Some((name, help, unit)) = whole {
        let is_flag = kind == "beep_enable";
        let metric = Metric {
            name: format!("node_hwmon_{name}"),
            help: help.to_owned(),
            unit,
            is_counter: false,
            is_flag,
        };
        return property.is_empty().then_some(metric);
    }
    let stem = match property {
        "input" if bare => format!("node_hwmon_{kind}_input"),
        "input" | "" => format!("node_hwmon_{kind}"),
        _ => format!("node_hwmon_{kind}_{}", clean(property)),
    };
    let (suffix, unit) = match (kind, property) {
        (_, "fault" | "alarm") => ("", Unit::Same),
        (_, "beep") => ("_enabled", Unit::Same),
        ("in" | "cpu", _) => ("_volts", Unit::Milli),
        ("temp", "type") => ("", Unit::Same),
        ("temp", _) => ("_celsius", Unit::Milli),
        ("curr", _) => ("_amps", Unit::Milli),
        ("energy", _) => ("_joule_total", Unit::Micro),
        ("power", "accuracy") => ("", Unit::Micro),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            ("_seconds", Unit::Milli)
        }
        ("power", _) => ("_watt", Unit::Micro),
        ("humidity", _) => ("", Unit::Micro),
        ("fan", "input" | "min" | "max" | "target") => ("_rpm", Unit::Same),
        ("freq", "input") => ("_freq_mhz", Unit::Micro),
        _ => ("", Unit::Same),
    };
    let property = if property.is_empty() { "input" } else { property };
    Some(Metric {
        name: format!("{stem}{suffix}"),
        help: format!("What sensors of the kind {kind} give as {property}."),
        unit,
        is_counter: kind == "energy" && !matches!(property, "fault" | "alarm" | "beep"),
        is_flag: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_split() {
        for (file, expected) in [
            ("temp1_input", Some(("temp", 1, "input"))),
            ("temp12_crit_alarm", Some(("temp", 12, "crit_alarm"))),
            ("pwm1", Some(("pwm", 1, ""))),
            ("vrm", Some(("vrm", 0, ""))),
            ("update_interval", Some(("update_interval", 0, ""))),
            ("name", None),
            ("temp1x", None),
            ("temp1_", None),
            ("device", None),
            ("temp99999999999_input", None),
        ] {
            assert_eq!(split_file_name(file), expected, "{file}");
        }
    }

    #[test]
    fn properties_have_names_and_units() {
        for (kind, property, bare, name, unit) in [
            ("temp", "input", false, "node_hwmon_temp_celsius", Unit::Milli),
            ("temp", "crit_alarm", false, "node_hwmon_temp_crit_alarm_celsius", Unit::Milli),
            ("temp", "alarm", false, "node_hwmon_temp_alarm", Unit::Same),
            ("temp", "type", false, "node_hwmon_temp_type", Unit::Same),
            ("fan", "input", false, "node_hwmon_fan_rpm", Unit::Same),
            ("fan", "min", false, "node_hwmon_fan_min_rpm", Unit::Same),
            ("fan", "div", false, "node_hwmon_fan_div", Unit::Same),
            ("fan", "beep", false, "node_hwmon_fan_beep_enabled", Unit::Same),
            ("in", "input", false, "node_hwmon_in_volts", Unit::Milli),
            ("pwm", "", true, "node_hwmon_pwm", Unit::Same),
            ("pwm", "input", true, "node_hwmon_pwm_input", Unit::Same),
            ("power", "accuracy", false, "node_hwmon_power_accuracy", Unit::Micro),
            ("power", "average_interval", false, "node_hwmon_power_average_interval_seconds", Unit::Milli),
            ("energy", "input", false, "node_hwmon_energy_joule_total", Unit::Micro),
            ("vrm", "", false, "node_hwmon_voltage_regulator_version", Unit::Same),
        ] {
            let metric = metric_for(kind, property, bare).unwrap();
            assert_eq!((metric.name.as_str(), metric.unit), (name, unit), "{kind} {property}");
        }
        assert_eq!(metric_for("vrm", "label", false), None);
    }

    #[test]
    fn names_are_cleaned() {
        for (name, expected) in
            [("Core 0\n", "core_0"), ("_x-Y_", "x_y"), ("platform:a.b", "platform:a_b"), ("--", "")]
        {
            assert_eq!(clean(name), expected);
        }
    }
}
