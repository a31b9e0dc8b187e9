//! The files that the AWS command line keeps: `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;

use wire_core::http_config::Secret;

use super::super::Web;
use super::AwsKeys;
use crate::outbound::client::ClientError;

/// Where the files are, and which profile counts.
#[derive(Debug)]
pub(super) struct Profiles {
    config_file: String,
    credentials_file: String,
    pub(super) selected: String,
}

/// The files as they are now.
#[derive(Debug)]
pub(super) struct Loaded {
    profiles: BTreeMap<String, Profile>,
    selected: Profile,
}

/// What a profile says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Profile {
    pub(super) keys: Option<AwsKeys>,
    pub(super) region: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) role_session_name: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) source_profile: Option<String>,
    pub(super) credential_source: Option<String>,
    pub(super) web_identity_token_file: Option<String>,
    single_sign_on: bool,
    process: bool,
}

impl Profile {
    /// In which unsupported way the profile gets its keys, if it does.
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        let has_source = self.keys.is_some()
            || self.source_profile.is_some()
            || self.credential_source.is_some()
            || self.web_identity_token_file.is_some();
        match () {
            () if has_source => None,
            () if self.single_sign_on => Some("single sign-on"),
            () if self.process => Some("credential_process"),
            () => None,
        }
    }
}

impl Profiles {
    /// `configured` is the profile that the configuration names, if it names one.
    pub(super) fn new(web: &Web, configured: &str) -> Self {
        let home = web.var("HOME").unwrap_or_default();
        let file =
            |name: &str, default: &str| web.var(name).unwrap_or_else(|| format!("{home}/.aws/{default}"));
        let selected = if configured.is_empty() {
            web.first_var(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]).unwrap_or_else(|| "default".to_owned())
        } else {
            configured.to_owned()
        };
        Self {
            config_file: file("AWS_CONFIG_FILE", "config"),
            credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            selected,
        }
    }

    /// Reads both files; one that is missing is empty. Only the default profile may be missing.
    pub(super) fn load(&self) -> Result<Loaded, ClientError> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut sections = parse(&read(&self.config_file), Style::Config);
        for (name, values) in parse(&read(&self.credentials_file), Style::Credentials) {
            sections.entry(name).or_default().extend(values);
        }
        let profiles: BTreeMap<String, Profile> =
            sections.iter().map(|(name, values)| (name.clone(), profile(values))).collect();
        let selected = profiles.get(&self.selected).cloned();
        if selected.is_none() && self.selected != "default" {
            return Err(super::failed(format!("failed to get shared config profile, {}", self.selected)));
        }
        Ok(Loaded { profiles, selected: selected.unwrap_or_default() })
    }
}

impl Loaded {
    pub(super) fn selected(&self) -> &Profile {
        &self.selected
    }

    pub(super) fn named(&self, name: &str) -> Option<&Profile> {
        self.profiles
            .get(name)
            .map(|profile| if *profile == self.selected { &self.selected } else { profile })
    }
}

type Section = BTreeMap<String, String>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Sections are called `profile x`, but for `default`.
    Config,
    Credentials,
}

fn parse(text: &str, style: Style) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        // An indented line belongs to the setting before, and none of those concerns us.
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || is_nested {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = match (style, title.trim()) {
                (Style::Config, "default") => Some("default"),
                (Style::Config, title) => title.strip_prefix("profile").map(str::trim),
                (Style::Credentials, title) => Some(title),
            };
            current = name.map(|name| name.trim_matches('"').to_owned());
        } else if let (Some(section), Some((name, value))) = (&current, line.split_once('=')) {
            let value = value.split(" #").next().unwrap_or_default().trim().to_owned();
            sections.entry(section.clone()).or_default().insert(name.trim().to_ascii_lowercase(), value);
        }
    }
    sections
}

fn profile(values: &Section) -> Profile {
    let value = |name: &str| values.get(name).filter(|value| !value.is_empty()).cloned();
    let keys = || {
        Some(AwsKeys {
            access_key: value("aws_access_key_id")?,
            secret_key: Secret::new(value("aws_secret_access_key")?),
            session_token: Secret::new(value("aws_session_token").unwrap_or_default()),
        })
    };
    Profile {
        keys: keys(),
        region: value("region"),
        role_arn: value("role_arn"),
        role_session_name: value("role_session_name"),
        external_id: value("external_id"),
        source_profile: value("source_profile"),
        credential_source: value("credential_source"),
        web_identity_token_file: value("web_identity_token_file"),
        single_sign_on: values.contains_key("sso_session") || values.contains_key("sso_start_url"),
        process: values.contains_key("credential_process"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_as_the_command_line_writes_them() {
        let config = "[default]\nregion = eu-west-1 # here\n\n[profile a]\nrole_arn=arn:r\nsource_profile = b\ns3 =\n  \
                      region = nested\n[sso-session x]\nregion=no\n[profile \"c d\"]\nsso_session = x\n";
        let sections = parse(config, Style::Config);
        assert_eq!(sections.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "c d", "default"]);
        let a = profile(&sections["a"]);
        assert_eq!(
            (a.role_arn.as_deref(), a.source_profile.as_deref(), &a.region),
            (Some("arn:r"), Some("b"), &None)
        );
        assert_eq!(profile(&sections["default"]).region.as_deref(), Some("eu-west-1"));
        assert_eq!(profile(&sections["c d"]).unsupported(), Some("single sign-on"));
        let credentials =
            "; a comment\n[b]\nAWS_ACCESS_KEY_ID = k\naws_secret_access_key=s=\n[c]\naws_access_key_id=k\n";
        let sections = parse(credentials, Style::Credentials);
        let keys = profile(&sections["b"]).keys.unwrap();
        assert_eq!((keys.access_key.as_str(), keys.secret_key.expose()), ("k", "s="));
        assert_eq!(profile(&sections["c"]).keys, None);
        assert_eq!(
            profile(&Section::from([("credential_process".into(), "x".into())])).unsupported(),
            Some("credential_process")
        );
    }
}
