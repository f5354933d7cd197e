//! The examples at the end of every `--help`. A test parses each of them, and fails for a command without one.

use clap::Command;

/// The path of a command (empty: the program itself) and its examples.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "vimeo-connections init",
            "vimeo-connections accounts create acme",
            "vimeo-connections keys create --account acme",
            "vimeo-connections serve",
        ],
    ),
    ("man-pages", &["vimeo-connections man-pages /usr/local/share/man/man1"]),
    ("init", &["vimeo-connections init", "vimeo-connections --config production.toml init"]),
    ("serve", &["vimeo-connections serve", "vimeo-connections serve --config production.toml"]),
    ("healthcheck", &["vimeo-connections healthcheck", "vimeo-connections healthcheck --live"]),
    ("migrate", &["vimeo-connections migrate"]),
    ("backup", &["vimeo-connections backup vimeo-connections.backup.db"]),
    (
        "restore",
        &[
            "vimeo-connections restore vimeo-connections.backup.db --check",
            "vimeo-connections restore vimeo-connections.backup.db",
        ],
    ),
    ("config", &["vimeo-connections config check"]),
    ("config check", &["vimeo-connections config check", "vimeo-connections config check --beside-running"]),
    ("accounts", &["vimeo-connections accounts create acme", "vimeo-connections accounts list"]),
    ("accounts create", &["vimeo-connections accounts create acme"]),
    (
        "accounts delete",
        &["vimeo-connections accounts delete acme", "vimeo-connections accounts delete acme --yes --json"],
    ),
    (
        "accounts export",
        &[
            "vimeo-connections accounts export acme --output acme.jsonl",
            "vimeo-connections accounts export acme",
        ],
    ),
    (
        "accounts limits",
        &[
            "vimeo-connections accounts limits acme",
            "vimeo-connections accounts limits acme --set connections=5000",
        ],
    ),
    ("accounts list", &["vimeo-connections accounts list", "vimeo-connections accounts list --json"]),
    (
        "accounts sign-in-link",
        &[
            "vimeo-connections accounts sign-in-link acme",
            "vimeo-connections accounts sign-in-link acme --person Anna --role member --hours 72",
        ],
    ),
    ("keyring", &["vimeo-connections keyring status", "vimeo-connections keyring rotate"]),
    ("keyring status", &["vimeo-connections keyring status", "vimeo-connections keyring status --json"]),
    ("keyring rotate", &["vimeo-connections keyring rotate"]),
    (
        "keyring rewrap",
        &["vimeo-connections keyring rewrap", "vimeo-connections keyring rewrap --per-second 50"],
    ),
    ("keyring retire", &["vimeo-connections keyring retire k_3f1a09c2d4b5e687"]),
    ("account-key", &["vimeo-connections account-key replace --account acme"]),
    ("account-key replace", &["vimeo-connections account-key replace --account acme"]),
    (
        "service-secret",
        &["vimeo-connections service-secret replace", "vimeo-connections service-secret status"],
    ),
    ("service-secret status", &["vimeo-connections service-secret status"]),
    ("service-secret replace", &["vimeo-connections service-secret replace"]),
    ("keys", &["vimeo-connections keys create --account acme", "vimeo-connections keys list"]),
    (
        "keys create",
        &[
            "vimeo-connections keys create --account acme --name website",
            "vimeo-connections keys create --account acme --name trial --expires-in-days 30 --json",
        ],
    ),
    ("keys import", &["vimeo-connections keys import --account acme --name website < key.txt"]),
    ("keys list", &["vimeo-connections keys list", "vimeo-connections keys list --account acme --json"]),
    (
        "keys rename",
        &[
            "vimeo-connections keys rename website --to shop --account acme",
            "vimeo-connections keys rename website --to shop --profile production",
        ],
    ),
    (
        "keys rotate",
        &[
            "vimeo-connections keys rotate website --account acme",
            "vimeo-connections keys rotate website --overlap-seconds 3600 --profile production",
        ],
    ),
    (
        "keys revoke",
        &[
            "vimeo-connections keys revoke key_7t1b8z4d0c6q2v9x1k3m",
            "vimeo-connections keys revoke website --profile production",
        ],
    ),
    (
        "keys inspect",
        &[
            "vimeo-connections keys inspect < found.txt",
            "vimeo-connections keys inspect --revoke --profile production < found.txt",
        ],
    ),
    ("audit", &["vimeo-connections audit list --account acme", "vimeo-connections audit verify"]),
    (
        "audit list",
        &[
            "vimeo-connections audit list --account acme",
            "vimeo-connections audit list --account acme --action delete_connection --after 2026-01-31T00:00:00Z --json",
            "vimeo-connections audit list --actor operator --profile production",
        ],
    ),
    (
        "audit export",
        &[
            "vimeo-connections audit export --account acme > audit.jsonl",
            "vimeo-connections audit export --account acme --actor key_7t1b8z4d0c6q2v9x1k3m",
            "vimeo-connections audit export --profile production > audit.jsonl",
        ],
    ),
    (
        "audit verify",
        &[
            "vimeo-connections audit verify",
            "vimeo-connections audit verify --account acme --head heads.jsonl --json",
        ],
    ),
    ("audit head", &["vimeo-connections audit head export"]),
    ("audit head export", &["vimeo-connections audit head export > heads.jsonl"]),
    (
        "connections",
        &[
            "vimeo-connections connections list --account acme",
            "vimeo-connections connections create --account acme --name films --client-identifier 0123abcd",
        ],
    ),
    (
        "connections list",
        &[
            "vimeo-connections connections list --account acme",
            "vimeo-connections connections list --profile production --health unhealthy --json",
        ],
    ),
    (
        "connections show",
        &[
            "vimeo-connections connections show films --account acme",
            "vimeo-connections connections show films --profile production",
        ],
    ),
    (
        "connections health",
        &[
            "vimeo-connections connections health films --account acme",
            "vimeo-connections connections health films --profile production --json",
        ],
    ),
    (
        "connections verify",
        &[
            "vimeo-connections connections verify films --account acme",
            "vimeo-connections connections verify --all",
            "vimeo-connections connections verify --all --profile production --json",
        ],
    ),
    (
        "connections create",
        &[
            "vimeo-connections connections create --account acme --name films --client-identifier 0123abcd",
            "vimeo-connections connections create --account acme --name films --credentials secrets.json",
        ],
    ),
    (
        "connections update",
        &[
            "vimeo-connections connections update films --account acme --name 'films 2026'",
            "vimeo-connections connections update films --account acme --ask-access-token",
        ],
    ),
    ("connections enable", &["vimeo-connections connections enable films --account acme"]),
    ("connections disable", &["vimeo-connections connections disable films --account acme"]),
    (
        "connections delete",
        &[
            "vimeo-connections connections delete films --account acme",
            "vimeo-connections connections delete films --account acme --yes",
        ],
    ),
    (
        "connections import",
        &[
            "vimeo-connections connections import customers.csv --account acme",
            "vimeo-connections connections import - --format jsonl --account acme --json < customers.jsonl",
        ],
    ),
    ("connections check", &["vimeo-connections connections check"]),
    (
        "upload",
        &[
            "vimeo-connections upload film.mp4 --account acme --connection films --view unlisted",
            "vimeo-connections upload film.mp4 --profile production --connection films",
            "vimeo-connections upload https://media.example.com/film.mp4 --account acme --connection films",
            "vimeo-connections upload --from films.csv --profile production --connection films",
            "vimeo-connections upload --from films.jsonl --profile production --retry-failed",
        ],
    ),
    (
        "jobs",
        &[
            "vimeo-connections jobs list --account acme --status in-progress",
            "vimeo-connections jobs watch 019c1234-5678-7abc-8def-0123456789ab --profile production",
        ],
    ),
    (
        "jobs list",
        &[
            "vimeo-connections jobs list --account acme --status failed --created-after 2026-01-31T00:00:00Z",
            "vimeo-connections jobs list --profile production --connection films --limit 10 --json",
        ],
    ),
    ("jobs show", &["vimeo-connections jobs show 019c1234-5678-7abc-8def-0123456789ab --account acme"]),
    (
        "jobs watch",
        &["vimeo-connections jobs watch 019c1234-5678-7abc-8def-0123456789ab --profile production"],
    ),
    (
        "jobs retry",
        &[
            "vimeo-connections jobs retry 019c1234-5678-7abc-8def-0123456789ab --account acme",
            "vimeo-connections jobs retry 019c1234-5678-7abc-8def-0123456789ab --profile production",
        ],
    ),
    (
        "jobs reschedule",
        &[
            "vimeo-connections jobs reschedule 019c1234-5678-7abc-8def-0123456789ab --to 2026-03-01T09:00:00Z",
            "vimeo-connections jobs reschedule 019c1234-5678-7abc-8def-0123456789ab --to now --account acme",
        ],
    ),
    ("jobs cancel", &["vimeo-connections jobs cancel 019c1234-5678-7abc-8def-0123456789ab --account acme"]),
    (
        "status",
        &[
            "vimeo-connections status",
            "vimeo-connections status --profile production",
            "VIMEO_CONNECTIONS_API_KEY=… vimeo-connections status --url https://videos.example.com --json",
        ],
    ),
    ("move", &["vimeo-connections move --from sqlite:vimeo-connections.db"]),
    (
        "completions",
        &[
            "vimeo-connections completions bash > ~/.local/share/bash-completion/completions/vimeo-connections",
            "vimeo-connections completions zsh > ~/.zfunc/_vimeo-connections",
            "vimeo-connections completions fish > ~/.config/fish/completions/vimeo-connections.fish",
        ],
    ),
];

/// Adds its examples to a command and to all below it.
pub(super) fn attach(command: Command) -> Command {
    attach_below(command, "")
}

fn attach_below(command: Command, path: &str) -> Command {
    let command = match EXAMPLES.iter().find(|(of, _)| *of == path) {
        None => command,
        Some((_, lines)) => {
            let before = command.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
            command.after_help(format!("{before}Examples:\n  {}", lines.join("\n  ")))
        }
    };
    command.mut_subcommands(|below| {
        let name = below.get_name().to_owned();
        let path = if path.is_empty() { name } else { format!("{path} {name}") };
        attach_below(below, &path)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Arguments;

    /// Every command that is not hidden, by its path.
    fn commands(command: &Command, path: &str, found: &mut Vec<(String, String)>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.push((path.to_owned(), help));
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            let name = below.get_name();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path} {name}") };
            commands(below, &path, found);
        }
    }

    /// The words of a line as a shell passes them, up to a redirection, without variables in front.
    fn words(line: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut rest = line.trim();
        while !rest.is_empty() && !rest.starts_with(['<', '>', '|']) {
            let (word, end) = match rest.strip_prefix('\'') {
                Some(quoted) => (quoted.split('\'').next().unwrap(), 2),
                None => (rest.split(' ').next().unwrap(), 0),
            };
            let is_variable = words.is_empty() && word.contains('=');
            if !is_variable {
                words.push(word.to_owned());
            }
            rest = rest[word.len() + end..].trim_start();
        }
        words
    }

    #[test]
    fn every_command_ends_its_help_with_examples() {
        let mut found = Vec::new();
        commands(&crate::cli::command(), "", &mut found);
        assert!(found.len() > 20, "{found:?}");
        for (path, help) in &found {
            let examples = help.rsplit_once("Examples:\n");
            assert!(examples.is_some_and(|(_, lines)| !lines.is_empty()), "`{path}` has no examples");
        }
        for (path, _) in EXAMPLES {
            assert!(found.iter().any(|(found, _)| found == path), "there is no command `{path}`");
        }
    }

    #[test]
    fn every_example_is_a_valid_command_line_of_its_command() {
        for (path, lines) in EXAMPLES {
            for line in *lines {
                let words = words(line);
                let parsed = Arguments::try_parse_from(&words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
                let mut given = words.iter().skip(1);
                // The names of the command, perhaps with options before them.
                assert!(
                    path.split(' ').all(|name| name.is_empty() || given.any(|word| word == name)),
                    "{line}"
                );
                assert!(line.len() <= 110, "{line}");
            }
        }
    }

    #[test]
    fn an_example_is_split_as_a_shell_does() {
        assert_eq!(words("A=1 x --name 'a b' < file"), ["x", "--name", "a b"]);
    }
}
