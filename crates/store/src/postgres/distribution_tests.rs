//! Every statement keeps to what engines run that distribute accounts over several servers (Citus 13.2 refuses the rest):
//!
//! 1. Each relation of tenant data has a filter on `account_id` that is known at planning: a parameter, or `ANY` of one.
//! 2. `FOR UPDATE` with `ORDER BY` is inside one more `SELECT` of its CTE.
//! 3. No expression that reads the clock is in an `UPDATE` or `DELETE`, or in `DO UPDATE`.
//! 4. A deletion across accounts chooses its rows in a `MATERIALIZED` CTE without a lock, and repeats the condition.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::sql::statements;

/// The tables that are distributed by account. The others are on every server.
const TENANT_TABLES: [&str; 15] = [
    "connections",
    "connection_health",
    "audit_events",
    "audit_links",
    "audit_chains",
    "idempotency_records",
    "jobs",
    "job_secrets",
    "webhook_secrets",
    "webhook_endpoints",
    "webhook_deliveries",
    "webhook_delivery_secrets",
    "dashboard_sessions",
    "authorizations",
    "authorization_secrets",
];

/// Statements that break rules, and why. Each must still break exactly these.
const EXCEPTIONS: [(&str, &[u32], &str); 12] = [
    (
        "find_last_connection_time",
        &[1],
        "Citus only warns, and other forms read a whole index on plain PostgreSQL",
    ),
    ("list_audit_chains", &[1], "across accounts: the sweep of old events visits all of them"),
    ("list_audited_accounts", &[1], "across accounts: the linking of events visits all of them"),
    ("list_due_health_checks", &[1], "across accounts: the worker polls all of them"),
    ("count_not_healthy_connections", &[1], "across accounts: metrics count all of them"),
    ("list_due_jobs", &[1], "across accounts: the worker polls all of them"),
    ("list_due_publications", &[1], "across accounts: the worker polls all of them"),
    ("count_running_jobs", &[1], "across accounts: the worker polls all of them"),
    ("list_due_deliveries", &[1], "across accounts: the worker polls all of them"),
    ("count_waiting_deliveries", &[1], "across accounts: metrics count all of them"),
    ("count_open_jobs", &[1], "across accounts: metrics count all of them"),
    ("list_overdue_authorizations", &[1], "across accounts: the sweep visits all of them"),
];

/// A piece of a statement, without comments, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word, a number, a parameter or a symbol.
    Word(String),
    /// What is in parentheses.
    Group(Vec<Token>),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }

    fn word(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Group(_) => "(",
        }
    }
}

fn parse(sql: &str) -> Vec<Token> {
    let without_comments: String =
        sql.lines().map(|line| line.split("--").next().unwrap().to_owned() + "\n").collect();
    let mut letters = without_comments.to_lowercase().chars().collect::<Vec<_>>().into_iter().peekable();
    parse_group(&mut letters)
}

fn parse_group(letters: &mut std::iter::Peekable<std::vec::IntoIter<char>>) -> Vec<Token> {
    let is_in_word = |letter: &char| letter.is_ascii_alphanumeric() || "_$".contains(*letter);
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        match letter {
            '(' => tokens.push(Token::Group(parse_group(letters))),
            ')' => return tokens,
            '\'' => {
                let text: String = letters.by_ref().take_while(|letter| *letter != '\'').collect();
                tokens.push(Token::Word(format!("'{text}'")));
            }
            ':' if letters.next_if_eq(&':').is_some() => tokens.push(Token::Word("::".to_owned())),
            letter if letter.is_whitespace() => {}
            first => {
                let mut word = first.to_string();
                while (is_in_word(&first) || first == ':')
                    && let Some(letter) = letters.next_if(is_in_word)
                {
                    word.push(letter);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

/// A query and the two words before its parenthesis.
struct Block<'a> {
    tokens: &'a [Token],
    before: [&'a str; 2],
}

/// The statement and every group in it, each with its own tokens.
fn blocks(tokens: &[Token]) -> Vec<Block<'_>> {
    fn visit<'a>(block: Block<'a>, found: &mut Vec<Block<'a>>) {
        let tokens = block.tokens;
        found.push(block);
        for (at, token) in tokens.iter().enumerate() {
            if let Token::Group(inner) = token {
                let word = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].word());
                visit(Block { tokens: inner, before: [word(2), word(1)] }, found);
            }
        }
    }
    let mut found = Vec::new();
    visit(Block { tokens, before: ["", ""] }, &mut found);
    found
}

impl Block<'_> {
    /// What the block is, after the CTEs of a whole statement.
    fn kind(&self) -> &str {
        let kinds = ["select", "insert", "update", "delete"];
        self.tokens.iter().map(Token::word).find(|word| kinds.contains(word)).unwrap_or_default()
    }

    fn has(&self, words: &[&str]) -> bool {
        self.tokens
            .windows(words.len())
            .any(|window| window.iter().zip(words).all(|(token, word)| token.is(word)))
    }

    /// The tenant tables that the block reads or changes, and the name that each has in it.
    fn tenant_tables(&self) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", |at| self.tokens[at].word());
            if !TENANT_TABLES.contains(&token.word())
                || !["from", "join", "update", "using", ","].contains(&before)
            {
                continue;
            }
            let mut after = self.tokens[at + 1..].iter().map(Token::word).skip_while(|word| *word == "as");
            let alias = after.next().filter(|word| {
                let ends =
                    ["", ",", "(", "where", "set", "join", "left", "cross", "order", "for", "using", "on"];
                !ends.contains(word) && word.starts_with(|letter: char| letter.is_ascii_lowercase())
            });
            found.push((token.word(), alias.unwrap_or(token.word())));
        }
        found
    }

    /// Whether the account of this table is a parameter, or one of a parameter's.
    fn has_account_filter(&self, alias: &str) -> bool {
        let is_parameter = |token: &Token| token.word().starts_with(':') || token.word().starts_with('$');
        self.tokens.iter().enumerate().any(|(at, token)| {
            let is_of_table = match at.checked_sub(2).map(|back| &self.tokens[back..at]) {
                Some([table, dot]) if dot.is(".") => table.is(alias),
                _ => true,
            };
            let is_filter = match &self.tokens[at + 1..] {
                [equals, any, Token::Group(list), ..] if equals.is("=") && any.is("any") => {
                    list.first().is_some_and(is_parameter)
                }
                [equals, value, ..] => equals.is("=") && is_parameter(value),
                _ => false,
            };
            token.is("account_id") && is_of_table && is_filter
        })
    }

    /// The words of a condition, as far as they are columns.
    fn condition_columns(&self) -> BTreeSet<String> {
        let after = self.tokens.iter().skip_while(|token| !token.is("where"));
        let condition = after.take_while(|token| !token.is("order") && !token.is("limit"));
        flat(condition).into_iter().filter(|word| word.ends_with("_until") || word.ends_with("_at")).collect()
    }
}

fn flat<'a>(tokens: impl IntoIterator<Item = &'a Token>) -> Vec<String> {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            Token::Word(word) => words.push(word.clone()),
            Token::Group(inner) => words.extend(flat(inner)),
        }
    }
    words
}

fn reads_clock(tokens: &[Token]) -> bool {
    let words = flat(tokens);
    let is_call = |window: &[Token]| window[0].is("now") && window[1] == Token::Group(Vec::new());
    let calls_now = blocks(tokens).iter().any(|block| block.tokens.windows(2).any(is_call));
    calls_now
        || words
            .iter()
            .any(|word| ["clock_timestamp", "current_timestamp", "extract"].contains(&word.as_str()))
}

/// The rules that a statement breaks.
fn broken_rules(sql: &str) -> BTreeSet<u32> {
    let tokens = parse(sql);
    let blocks = blocks(&tokens);
    let sweeps: Vec<_> = blocks.iter().filter(|block| block.before == ["as", "materialized"]).collect();
    let mut broken = BTreeSet::new();
    for block in &blocks {
        let is_sweep = block.before == ["as", "materialized"];
        let is_swept = block.kind() == "delete" && block.has(&["using"]) && !sweeps.is_empty();
        for (table, alias) in block.tenant_tables() {
            if !block.has_account_filter(alias) {
                if is_sweep || is_swept {
                    let wanted: BTreeSet<_> =
                        sweeps.iter().flat_map(|sweep| sweep.condition_columns()).collect();
                    let is_repeated = block.condition_columns().is_superset(&wanted);
                    if !is_repeated || block.has(&["for", "update"]) {
                        broken.insert(4);
                    }
                } else if block.kind() == "delete" {
                    broken.insert(if sql.to_lowercase().contains("limit") { 4 } else { 1 });
                } else if !(block.kind() == "insert" && table == "audit_events") {
                    broken.insert(1);
                }
            }
        }
        let is_cte = ["as", "materialized"].contains(&block.before[1]);
        if is_cte && block.has(&["for", "update"]) && block.has(&["order", "by"]) {
            broken.insert(2);
        }
        let starts_with = block.tokens.first().map(Token::word).unwrap_or_default();
        let main = block.tokens.iter().rposition(|token| token.is("update") || token.is("delete"));
        let changing = match (starts_with, block.kind(), main) {
            ("update" | "delete", ..) => block.tokens,
            (_, "insert", Some(at)) | ("with", "update" | "delete", Some(at)) => &block.tokens[at..],
            _ => &[],
        };
        if reads_clock(changing) {
            broken.insert(3);
        }
    }
    broken
}

/// All statements, by the names in their files.
fn all_statements() -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/sql");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file: &str = std::fs::read_to_string(entry.unwrap().path()).unwrap().leak();
        found.extend(statements(file).into_iter().map(|(name, sql)| (name.to_owned(), sql)));
    }
    found
}

#[test]
fn every_statement_keeps_to_what_distributed_engines_run() {
    let statements = all_statements();
    assert!(statements.len() > 40, "{} statements", statements.len());
    let mut report = String::new();
    for (name, sql) in &statements {
        let excused: BTreeSet<u32> = EXCEPTIONS
            .iter()
            .filter(|(of, ..)| of == name)
            .flat_map(|(_, rules, _)| *rules)
            .copied()
            .collect();
        let broken = broken_rules(sql);
        if broken != excused {
            writeln!(report, "{name}: breaks {broken:?}, and {excused:?} is expected").unwrap();
        }
    }
    assert!(report.is_empty(), "{report}");
    for (name, _, why) in EXCEPTIONS {
        assert!(statements.iter().any(|(of, _)| of == name), "{name} is no statement any more: {why}");
    }
}

#[test]
fn a_statement_that_breaks_a_rule_is_found() {
    let rule = |sql: &str| broken_rules(sql).into_iter().collect::<Vec<_>>();
    assert_eq!(rule("SELECT 1 FROM connections AS c WHERE c.account_id = :account_id"), Vec::<u32>::new());
    assert_eq!(rule("SELECT 1 FROM connections c JOIN input ON c.account_id = input.account_id"), [1]);
    assert_eq!(rule("SELECT 1 FROM connections WHERE connection_id = :account_id"), [1]);
    assert_eq!(rule("SELECT 1 FROM a, jobs j WHERE a.account_id = :account_id AND j.job_id = a.job_id"), [1]);
    assert_eq!(rule("UPDATE jobs j SET x = 1 FROM input WHERE j.account_id = ANY (input.accounts)"), [1]);
    assert_eq!(
        rule("UPDATE jobs j SET x = 1 FROM input WHERE j.account_id = ANY ($1::text[])"),
        Vec::<u32>::new()
    );
    let locked = "SELECT * FROM jobs WHERE account_id = $1 ORDER BY job_id FOR UPDATE";
    assert_eq!(rule(locked), Vec::<u32>::new(), "no CTE");
    assert_eq!(rule(&format!("WITH locked AS ({locked}) SELECT 1 FROM locked")), [2]);
    assert_eq!(
        rule(&format!("WITH locked AS (SELECT * FROM ({locked}) AS l) SELECT 1 FROM locked")),
        Vec::<u32>::new()
    );
    assert_eq!(rule("UPDATE accounts SET x = extract(epoch FROM now())"), [3]);
    assert_eq!(rule("UPDATE accounts SET x = clock.now FROM clock"), Vec::<u32>::new());
    assert_eq!(rule("INSERT INTO accounts VALUES (now()) ON CONFLICT DO NOTHING"), Vec::<u32>::new());
    assert_eq!(rule("INSERT INTO accounts VALUES (1) ON CONFLICT (x) DO UPDATE SET x = now()"), [3]);
    assert_eq!(
        rule("WITH c AS (SELECT now() AS now) DELETE FROM accounts USING c WHERE x < c.now"),
        Vec::<u32>::new()
    );
    assert_eq!(rule("WITH c AS (SELECT 1) DELETE FROM accounts WHERE x < now()"), [3]);
    let sweep = |cte: &str, again: &str| {
        format!(
            "WITH old AS {cte} DELETE FROM jobs j USING old WHERE j.account_id = old.account_id AND {again}"
        )
    };
    let chosen = "(SELECT account_id FROM jobs WHERE ended_at < $1 LIMIT 9)";
    assert_eq!(rule(&sweep(&format!("MATERIALIZED {chosen}"), "j.ended_at < $1")), Vec::<u32>::new());
    assert_eq!(rule(&sweep(&format!("MATERIALIZED {chosen}"), "j.x = 1")), [4], "not repeated");
    assert_eq!(rule(&sweep(chosen, "j.ended_at < $1")), [1, 4]);
    let with_lock = chosen.replace("LIMIT 9", "LIMIT 9 FOR UPDATE");
    assert_eq!(rule(&sweep(&format!("MATERIALIZED {with_lock}"), "j.ended_at < $1")), [4]);
}
