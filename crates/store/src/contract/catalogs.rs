//! Both engines have the same tables, columns, keys and references, with the one difference that is stated here.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::NoTls;
use tokio_util::task::TaskTracker;

use super::{TestDatabase, test_database};

/// A table, in terms that both engines have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Name, kind, and whether it may be absent.
    columns: BTreeSet<(String, &'static str, bool)>,
    /// The columns of the primary key and of each unique constraint, in their order.
    keys: BTreeSet<String>,
    /// The columns of other indexes.
    indexes: BTreeSet<String>,
    /// Columns, and the table and columns that they refer to.
    references: BTreeSet<String>,
}

type Catalog = BTreeMap<String, Table>;

fn sqlite(db: &TestDatabase) -> Catalog {
    let database = rusqlite::Connection::open(db.path()).unwrap();
    let texts = |sql: &str| -> Vec<Vec<String>> {
        let mut statement = database.prepare(sql).unwrap();
        let count = statement.column_count();
        let rows = statement.query_map([], |row| (0..count).map(|at| row.get::<_, String>(at)).collect());
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    let mut catalog = Catalog::new();
    for name in texts("SELECT name FROM sqlite_schema WHERE type = 'table'").concat() {
        let mut table = Table::default();
        for column in texts(&format!("SELECT name, type, \"notnull\" || '' FROM pragma_table_info('{name}')"))
        {
            let kind = match column[1].as_str() {
                "INTEGER" if column[0].starts_with("is_") => "truth",
                "INTEGER" => "number",
                "BLOB" => "bytes",
                _ => "text",
            };
            table.columns.insert((column[0].clone(), kind, column[2] == "0"));
        }
        let list = |index: &str| {
            texts(&format!("SELECT name FROM pragma_index_info('{index}') ORDER BY seqno")).concat().join(",")
        };
        for index in texts(&format!("SELECT name, \"unique\" || '' FROM pragma_index_list('{name}')")) {
            let columns = list(&index[0]);
            if index[1] == "1" {
                table.keys.insert(columns)
            } else {
                table.indexes.insert(columns)
            };
        }
        // A primary key that is the row's own number has no index.
        let own = texts(&format!("SELECT name FROM pragma_table_info('{name}') WHERE pk > 0 ORDER BY pk"));
        table.keys.insert(own.concat().join(","));
        for key in
            texts(&format!("SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list('{name}')"))
        {
            table.references.insert(format!("{} -> {} {}", key[0], key[1], key[2]));
        }
        catalog.insert(name, table);
    }
    catalog
}

async fn postgres(db: &TestDatabase) -> Catalog {
    let (client, connection) = tokio_postgres::connect(db.url(), NoTls).await.unwrap();
    let running = TaskTracker::new().spawn(connection);
    let mut catalog = Catalog::new();
    let columns = "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES',
            coalesce(collation_name::text, '')
        FROM information_schema.columns WHERE table_schema = 'public'";
    for row in client.query(columns, &[]).await.unwrap() {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        let kind = match row.get::<_, &str>(2) {
            "boolean" => "truth",
            "bigint" => "number",
            "bytea" => "bytes",
            "text" => "text",
            other => panic!("{table}.{column} is {other}"),
        };
        let collation: &str = row.get(4);
        assert_eq!(collation, if kind == "text" { "C" } else { "" }, "{table}.{column}");
        catalog.entry(table).or_default().columns.insert((column, kind, row.get(3)));
    }
    let indexes = "SELECT t.relname::text, i.indisunique,
            (SELECT string_agg(a.attname::text, ',' ORDER BY k.position) FROM unnest(i.indkey::int2[])
                WITH ORDINALITY AS k (number, position)
                JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number)
        FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
        WHERE n.nspname = 'public'";
    for row in client.query(indexes, &[]).await.unwrap() {
        let table = catalog.get_mut(row.get::<_, &str>(0)).unwrap();
        if row.get(1) {
            table.keys.insert(row.get(2))
        } else {
            table.indexes.insert(row.get(2))
        };
    }
    let references =
        "SELECT c.conrelid::regclass::text, a.attname::text, c.confrelid::regclass::text, b.attname::text
        FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]
        WHERE c.contype = 'f'";
    for row in client.query(references, &[]).await.unwrap() {
        let [table, from, to, column] = [0, 1, 2, 3].map(|at| row.get::<_, String>(at));
        catalog.get_mut(&table).unwrap().references.insert(format!("{from} -> {to} {column}"));
    }
    drop(client);
    running.await.unwrap().unwrap();
    catalog
}

/// On SQLite, sealing keys have a table of their own, in which they are overwritten in place.
fn without_sealing_keys(mut catalog: Catalog) -> Catalog {
    catalog.remove("sealing_keys").unwrap();
    for name in [
        "connections",
        "job_secrets",
        "webhook_secrets",
        "webhook_endpoints",
        "webhook_delivery_secrets",
        "authorization_secrets",
    ] {
        let table = catalog.get_mut(name).unwrap();
        assert!(table.columns.remove(&("sealing_key_id".to_owned(), "number", false)), "{name}");
        assert!(table.references.remove("sealing_key_id -> sealing_keys sealing_key_id"), "{name}");
        table.columns.insert(("wrapped_key".to_owned(), "bytes", false));
    }
    catalog
}

async fn assert_alike(other: Option<TestDatabase>) {
    let Some(other) = other else { return };
    let file = TestDatabase::sqlite();
    for db in [&file, &other] {
        db.open().await.close().await;
    }
    let (left, right) = (without_sealing_keys(sqlite(&file)), postgres(&other).await);
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, table) in &left {
        assert_eq!(table, &right[name], "{name}");
    }
    // Tables that are distributed by account have it first in every key. These two are on every server.
    for (name, table) in &right {
        let is_everywhere = ["accounts", "api_keys"].contains(&name.as_str());
        if table.columns.iter().any(|(column, ..)| column == "account_id") && !is_everywhere {
            let leads = |key: &String| key.split(',').next() == Some("account_id");
            assert!(table.keys.iter().all(leads), "{name}: {:?}", table.keys);
        }
    }
}

#[tokio::test]
async fn sqlite_and_postgres_15_have_the_same_catalog() {
    assert_alike(test_database::postgres_15().await).await;
}

#[tokio::test]
async fn sqlite_and_postgres_18_have_the_same_catalog() {
    assert_alike(test_database::postgres_18().await).await;
}
