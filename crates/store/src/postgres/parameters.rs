//! A statement's parameters: by name in the files of `sql/`, by number in the protocol.

use std::fmt::Write as _;

use tokio_postgres::types::{ToSql, Type};

/// The value of a parameter, which knows its own type: not every way to run a statement asks the server for it.
pub(super) trait Parameter: ToSql + Sync {
    /// The type that it is sent as.
    fn sent_type(&self) -> Type;
}

/// A type of Rust that is sent as one type of PostgreSQL.
pub(super) trait Scalar: ToSql + Sync {
    const TYPE: Type;
    const ARRAY_TYPE: Type;
}

macro_rules! scalars {
    ($($kind:ty: $scalar:ident $array:ident,)+) => {
        $(impl Scalar for $kind {
            const TYPE: Type = Type::$scalar;
            const ARRAY_TYPE: Type = Type::$array;
        })+
    };
}

scalars! {
    &str: TEXT TEXT_ARRAY,
    String: TEXT TEXT_ARRAY,
    &String: TEXT TEXT_ARRAY,
    i64: INT8 INT8_ARRAY,
    bool: BOOL BOOL_ARRAY,
    &[u8]: BYTEA BYTEA_ARRAY,
}

impl<T: Scalar> Parameter for T {
    fn sent_type(&self) -> Type {
        T::TYPE
    }
}

impl<T: Scalar> Parameter for Option<T> {
    fn sent_type(&self) -> Type {
        T::TYPE
    }
}

impl<T: Scalar> Parameter for Vec<T> {
    fn sent_type(&self) -> Type {
        T::ARRAY_TYPE
    }
}

impl<T: Scalar> Parameter for Vec<Option<T>> {
    fn sent_type(&self) -> Type {
        T::ARRAY_TYPE
    }
}

/// A parameter's name and its value.
pub(super) type Named<'a> = (&'a str, &'a dyn Parameter);

/// The values of a statement's parameters by their names.
pub(super) type Parameters<'a> = &'a [Named<'a>];

/// A statement as the protocol takes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    /// With `$1`, `$2` and so on.
    pub(super) sql: String,
    /// The names that these numbers have in the file.
    pub(super) names: Vec<String>,
}

impl Numbered {
    /// Gives each name a number, in the order of their first appearance. A colon after a colon is a cast.
    pub(super) fn of(sql: &str) -> Self {
        let mut numbered = Self { sql: String::with_capacity(sql.len()), names: Vec::new() };
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once(':') {
            numbered.sql += before;
            let end = after.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(after.len());
            let (name, after_name) = after.split_at(end);
            if name.is_empty() || before.ends_with(':') {
                numbered.sql.push(':');
                rest = after;
                if let Some(cast) = rest.strip_prefix(':') {
                    numbered.sql.push(':');
                    rest = cast;
                }
                continue;
            }
            let number = numbered.names.iter().position(|known| known == name).unwrap_or_else(|| {
                numbered.names.push(name.to_owned());
                numbered.names.len() - 1
            });
            // Writing to a String cannot fail.
            let _ = write!(numbered.sql, "${}", number + 1);
            rest = after_name;
        }
        numbered.sql += rest;
        numbered
    }

    /// The values in the order of the numbers. `Err`: the name that has none.
    pub(super) fn values<'a>(&self, parameters: &[Named<'a>]) -> Result<Vec<&'a dyn Parameter>, &str> {
        debug_assert!(
            parameters.iter().all(|(name, _)| self.names.iter().any(|known| known == name)),
            "a parameter that the statement does not have: {}",
            self.sql
        );
        let mut values = Vec::with_capacity(self.names.len());
        for wanted in &self.names {
            let (_, value) = parameters.iter().find(|(name, _)| name == wanted).ok_or(wanted.as_str())?;
            values.push(*value);
        }
        Ok(values)
    }
}

/// The same column of every write in a batch.
pub(super) fn column<'a, W, T>(writes: &[&'a W], value: impl Fn(&'a W) -> T) -> Vec<T> {
    writes.iter().copied().map(value).collect()
}

/// Each account of a batch once, for the filter that distributed engines want. With one element it costs nothing; with many,
/// the server goes through them at each search in an index.
pub(super) fn distinct<'a>(accounts: &[&'a str]) -> Vec<&'a str> {
    let mut distinct = accounts.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers_and_casts_stay() {
        let numbered = Numbered::of("SELECT :a::text[], x::int8, :b_c, ':', :a FROM t WHERE y = :b_c");
        assert_eq!(numbered.sql, "SELECT $1::text[], x::int8, $2, ':', $1 FROM t WHERE y = $2");
        assert_eq!(numbered.names, ["a", "b_c"]);
        let positional = "SELECT $1::text, $2";
        assert_eq!(Numbered::of(positional), Numbered { sql: positional.to_owned(), names: Vec::new() });
    }

    #[test]
    fn values_are_ordered_by_name_and_none_may_be_missing() {
        let numbered = Numbered::of(":b, :a");
        let (one, two): (&dyn Parameter, &dyn Parameter) = (&1_i64, &"2");
        let values = numbered.values(&[("a", one), ("b", two)]).unwrap();
        assert_eq!(
            values.iter().map(|value| value.sent_type()).collect::<Vec<_>>(),
            [Type::TEXT, Type::INT8]
        );
        assert_eq!(numbered.values(&[("b", two)]).err(), Some("a"));
    }
}
