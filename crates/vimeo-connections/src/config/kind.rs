//! The kinds of configuration values.

/// The kind of a value.
pub(crate) enum Kind {
    Text,
    Flag,
    Number {
        least: u64,
        most: u64,
    },
    /// Comma-separated in the environment.
    List,
    Choice(&'static [&'static str]),
}

impl Kind {
    /// Checks and normalises a value. The error never shows the value.
    pub(crate) fn read(&self, value: &str) -> Result<String, String> {
        let value = value.trim();
        match self {
            Self::Text => Ok(value.to_owned()),
            Self::Flag if matches!(value, "true" | "false") => Ok(value.to_owned()),
            Self::Flag => Err("must be true or false".to_owned()),
            Self::Number { least, most } => match value.parse::<u64>() {
                Ok(number) if (*least..=*most).contains(&number) => Ok(number.to_string()),
                _ => Err(format!("must be a whole number from {least} to {most}")),
            },
            Self::List => Ok(split_list(value).join(",")),
            Self::Choice(choices) if choices.contains(&value) => Ok(value.to_owned()),
            Self::Choice(choices) => Err(format!("must be one of: {}", choices.join(", "))),
        }
    }

    /// A value in TOML syntax.
    pub(crate) fn to_toml(&self, value: &str) -> String {
        match self {
            Self::Text | Self::Choice(_) => toml::Value::from(value).to_string(),
            Self::Flag | Self::Number { .. } => value.to_owned(),
            Self::List => toml::Value::from(split_list(value)).to_string(),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text => "string".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number { least, most } => format!("{least} to {most}"),
            Self::List => "list of strings".to_owned(),
            Self::Choice(choices) => choices.join(", "),
        }
    }
}

/// The environment variable of a key.
pub(crate) fn variable(name: &str) -> String {
    format!("VIMEO_CONNECTIONS_{}", name.replace('.', "__").to_uppercase())
}

/// The entries of a list, without empty ones.
pub(crate) fn split_list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}
