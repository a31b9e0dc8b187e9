//! Limits that tenants have of their own.

use base::TenantId;
use store_metrics::{AppendError, AppendOptions, Limits, RejectReason};

use crate::bench::{Bench, NOW_MS, labels};

#[test]
fn each_tenant_has_its_own_limits() {
    let mut bench = Bench::new();
    let (small, large) = (TenantId::new("small").unwrap(), TenantId::new("large").unwrap());
    let tight =
        Limits { active_series_max: 2, label_names_max: 2, label_value_bytes_max: 4, ..Limits::default() };
    bench.options.limits.overrides.insert(small.clone(), tight);
    bench.open();
    let up = labels(&[("__name__", "up")]);
    let long = labels(&[("__name__", "other")]);
    let wide = labels(&[("__name__", "up"), ("a", "1"), ("b", "2")]);
    let second = labels(&[("__name__", "up"), ("a", "1")]);
    let third = labels(&[("__name__", "up"), ("a", "2")]);
    let mut check = |tenant: &TenantId, series, refused: Option<RejectReason>| {
        bench.tenant = tenant.clone();
        let outcome = bench.append(&[(series, NOW_MS, 1.0)]);
        assert_eq!(outcome.first_rejected.map(|(_, _, reason)| reason), refused, "{tenant} {series}");
        assert_eq!(outcome.rejected.total(), u64::from(refused.is_some()));
    };
    check(&small, &up, None);
    check(&small, &long, Some(RejectReason::LabelValue));
    check(&small, &wide, Some(RejectReason::LabelNames));
    check(&small, &second, None);
    check(&small, &third, Some(RejectReason::SeriesLimit));
    check(&small, &up, None);
    for series in [&up, &long, &wide, &second, &third] {
        check(&large, series, None);
    }
    assert_eq!(bench.store().tenants(), [(large, 5), (small, 2)]);
}

#[test]
fn the_number_of_tenants_has_a_bound() {
    let mut bench = Bench::new();
    bench.options.tenants_max = 1;
    bench.open();
    let up = labels(&[("__name__", "up")]);
    bench.append(&[(&up, NOW_MS, 1.0)]);
    bench.tenant = TenantId::new("another").unwrap();
    let refused = bench.store().append(&bench.batch(&[(&up, NOW_MS, 1.0)]), AppendOptions::default());
    assert_eq!(refused.unwrap_err(), AppendError::Tenants { tenants_max: 1 });
}
