//! What a query cost, as answers and the query log show it.

use engine::QueryTimings;
use ql_promql::query::QueryStats;
use wire_prom::api_json::JsonWriter;

/// Writes the object; the two places differ in how they print small seconds.
pub(crate) fn write_stats(
    w: &mut JsonWriter,
    timings: &QueryTimings,
    stats: &QueryStats,
    seconds_text: fn(f64) -> String,
) {
    let QueryStats {
        total_queryable_samples,
        total_queryable_samples_per_step,
        samples_read,
        samples_read_per_step,
        peak_samples,
    } = stats;
    w.object(|w| {
        w.key("timings");
        w.object(|w| {
            for (name, seconds) in [
                ("evalTotalTime", timings.evaluation_s),
                ("resultSortTime", 0.0),
                ("queryPreparationTime", timings.preparation_s),
                ("innerEvalTime", timings.evaluation_s),
                ("execQueueTime", timings.queue_s),
                ("execTotalTime", timings.total_s),
            ] {
                w.key(name);
                w.raw(seconds_text(seconds).as_bytes());
            }
        });
        w.key("samples");
        w.object(|w| {
            write_steps(w, "totalQueryableSamplesPerStep", total_queryable_samples_per_step);
            w.key("totalQueryableSamples");
            w.int(*total_queryable_samples);
            write_steps(w, "samplesReadPerStep", samples_read_per_step);
            w.key("samplesRead");
            w.int(*samples_read);
            w.key("peakSamples");
            w.int(i64::try_from(*peak_samples).unwrap_or(i64::MAX));
        });
    });
}

fn write_steps(w: &mut JsonWriter, name: &str, steps: &[(i64, i64)]) {
    if steps.is_empty() {
        return;
    }
    w.key(name);
    w.array(|w| {
        for (t_ms, n_samples) in steps {
            w.array(|w| {
                w.seconds(*t_ms);
                w.int(*n_samples);
            });
        }
    });
}
