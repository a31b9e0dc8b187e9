//! `node_thermal_zone_temp` and `node_cooling_device_*` from `/sys/class/thermal`.

use std::io;
use std::path::Path;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, list_numbered, read_line, read_number};

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let dir = host.roots.sys.join("class/thermal");
    let zones = list_numbered(&dir, "thermal_zone")?;
    let temperature =
        out.gauge("node_thermal_zone_temp", "The temperature of a thermal zone in degrees Celsius.");
    for zone in zones {
        let (kind, [millidegrees]) = match device(&dir.join(format!("thermal_zone{zone}")), ["temp"]) {
            Ok(found) => found,
            Err(error) if is_asleep(&error) => continue,
            Err(error) => return Err(error),
        };
        temperature.push(&[("zone", &zone), ("type", &kind)], millidegrees as f64 / 1000.0);
    }
    for cooler in list_numbered(&dir, "cooling_device")? {
        let (kind, [current, max]) =
            match device(&dir.join(format!("cooling_device{cooler}")), ["cur_state", "max_state"]) {
                Ok(found) => found,
                Err(error) if is_asleep(&error) => continue,
                Err(error) => return Err(error),
            };
        let labels = [("name", cooler.as_str()), ("type", kind.as_str())];
        out.gauge(
            "node_cooling_device_cur_state",
            "How strongly a device cools now; -1 if it does not tell.",
        )
        .push(&labels, current as f64);
        out.gauge("node_cooling_device_max_state", "How strongly a device can cool.")
            .push(&labels, max as f64);
    }
    Ok(())
}

/// The type of a device and some of its numbers.
fn device<const N: usize>(dir: &Path, files: [&str; N]) -> Result<(String, [i64; N]), CollectError> {
    let kind = read_line(&dir.join("type"))?;
    let mut numbers = [0; N];
    for (number, file) in numbers.iter_mut().zip(files) {
        *number = read_number(&dir.join(file))?;
    }
    Ok((kind, numbers))
}

/// Drivers of devices that are switched off or protected answer with these; the others still count.
fn is_asleep(error: &CollectError) -> bool {
    use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied, ResourceBusy, WouldBlock};
    match error {
        CollectError::Read { error, .. } => {
            let no_data = rustix::io::Errno::NODATA.raw_os_error();
            matches!(error.kind(), InvalidInput | NotFound | PermissionDenied | ResourceBusy | WouldBlock)
                || error.raw_os_error() == Some(no_data)
        }
        _ => false,
    }
}
