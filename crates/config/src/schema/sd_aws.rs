//! Discovery in Amazon's cloud. Read and checked, not active yet.

use super::sd::filter;
use super::sd_cloud::{ENDPOINT, PORT_80, REFRESH, REGION, one_of};
use super::{Field, Kind, Preset, Schema, always, http_client, inline, opt};
use crate::schema::http_client::HTTP_CLIENT;

const AWS_FILTER: Schema = filter("aws.Filter");
const AWS_FILTERS: Kind = Kind::List(&Kind::Section(&AWS_FILTER));
const AWS_ROLES: [&str; 6] = ["ec2", "ecs", "elasticache", "lightsail", "msk", "rds"];

pub(crate) const AWS: Schema = Schema::new(
    "aws.plain",
    &[
        always("role", Kind::Word("aws.Role", |text| one_of(text, &AWS_ROLES, "unknown AWS SD role"))),
        opt("region", Kind::Str),
        opt("endpoint", Kind::Str),
        opt("access_key", Kind::Str),
        opt("secret_key", Kind::Secret),
        opt("profile", Kind::Str),
        opt("role_arn", Kind::Str),
        opt("external_id", Kind::Str),
        opt("refresh_interval", Kind::Duration),
        opt("port", Kind::Int),
        inline(&HTTP_CLIENT),
        opt("filters", AWS_FILTERS),
        opt("clusters", Kind::List(&Kind::Str)),
    ],
)
.checked(|aws| {
    if !AWS_ROLES.contains(&aws.str("role")) {
        return Err(format!("unknown AWS SD role {:?}", aws.str("role")));
    }
    http_client::check(aws)
});

const CONCURRENCY_10: Field = opt("request_concurrency", Kind::Int).preset(Preset::Int(10));

const AWS_ACCESS_KEY: Field = opt("access_key", Kind::Str);
const AWS_SECRET_KEY: Field = opt("secret_key", Kind::Secret);
const AWS_PROFILE: Field = opt("profile", Kind::Str);
const AWS_ROLE_ARN: Field = opt("role_arn", Kind::Str);
const AWS_EXTERNAL_ID: Field = opt("external_id", Kind::Str);

pub(crate) const EC2: Schema = Schema::new(
    "aws.plain",
    &[
        ENDPOINT,
        REGION,
        AWS_ACCESS_KEY,
        AWS_SECRET_KEY,
        AWS_PROFILE,
        AWS_ROLE_ARN,
        AWS_EXTERNAL_ID,
        REFRESH,
        PORT_80,
        always("filters", AWS_FILTERS),
        inline(&HTTP_CLIENT),
    ],
)
.checked(|ec2| {
    if ec2.sections("filters").any(|filter| !filter.has("values")) {
        return Err("EC2 SD configuration filter values cannot be empty".to_owned());
    }
    http_client::check(ec2)
});

pub(crate) const ECS: Schema = Schema::new(
    "aws.plain",
    &[
        REGION,
        ENDPOINT,
        AWS_ACCESS_KEY,
        AWS_SECRET_KEY,
        AWS_PROFILE,
        AWS_ROLE_ARN,
        AWS_EXTERNAL_ID,
        opt("clusters", Kind::List(&Kind::Str)),
        PORT_80,
        REFRESH,
        opt("request_concurrency", Kind::Int).preset(Preset::Int(20)),
        inline(&HTTP_CLIENT),
    ],
)
.checked(http_client::check);

const CLUSTER_CACHE_FIELDS: &[Field] = &[
    REGION,
    ENDPOINT,
    AWS_ACCESS_KEY,
    AWS_SECRET_KEY,
    AWS_PROFILE,
    AWS_ROLE_ARN,
    AWS_EXTERNAL_ID,
    opt("clusters", Kind::List(&Kind::Str)),
    PORT_80,
    REFRESH,
    CONCURRENCY_10,
    inline(&HTTP_CLIENT),
];

pub(crate) const ELASTICACHE: Schema =
    Schema::new("aws.plain", CLUSTER_CACHE_FIELDS).checked(http_client::check);
pub(crate) const MSK: Schema = Schema::new("aws.plain", CLUSTER_CACHE_FIELDS).checked(http_client::check);

pub(crate) const LIGHTSAIL: Schema = Schema::new(
    "aws.plain",
    &[
        ENDPOINT,
        REGION,
        AWS_ACCESS_KEY,
        AWS_SECRET_KEY,
        AWS_PROFILE,
        AWS_ROLE_ARN,
        AWS_EXTERNAL_ID,
        REFRESH,
        PORT_80,
        inline(&HTTP_CLIENT),
    ],
)
.checked(http_client::check);

pub(crate) const RDS: Schema = Schema::new(
    "aws.plain",
    &[
        REGION,
        ENDPOINT,
        AWS_ACCESS_KEY,
        AWS_SECRET_KEY,
        AWS_PROFILE,
        AWS_ROLE_ARN,
        AWS_EXTERNAL_ID,
        opt("clusters", Kind::List(&Kind::Str)),
        PORT_80,
        REFRESH,
        always("filters", AWS_FILTERS),
        CONCURRENCY_10,
        inline(&HTTP_CLIENT),
    ],
)
.checked(http_client::check);
