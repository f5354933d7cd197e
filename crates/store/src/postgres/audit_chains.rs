//! The chain that links an account's audit events.

use async_trait::async_trait;
use domain::audit::{AuditChain, AuditEvent, AuditFilter, AuditLink, AuditRecord, Link};
use domain::id::{AccountId, AuditEventId};
use tokio_postgres::Row;

use super::audit_events::{self, InsertAuditEvent, event_id};

use super::parameters::{Parameters, column};
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{
    Audit, AuditChainWrite, AuditLinkRow, AuditPage, Changed, Error, LinkHorizons, UnlinkedAccounts,
};

const SQL: &str = include_str!("sql/audit_chains.sql");
const LIST_ACCOUNTS: &str = statement(SQL, "list_audited_accounts");
const LIST_UNLINKED_ACCOUNTS: &str = statement(SQL, "list_unlinked_accounts");
const FIND: &str = statement(SQL, "find_audit_chain");
const LIST: &str = statement(SQL, "list_audit_chains");
const INSERT: &str = statement(SQL, "insert_audit_chain");
const UPDATE: &str = statement(SQL, "update_audit_chain");
const INSERT_LINKS: &str = statement(SQL, "insert_audit_links");
const DELETE_LINKS: &str = statement(SQL, "delete_audit_links");
const LIST_LINKS: &str = statement(SQL, "list_audit_links");
const LIST_LINKS_AFTER: &str = statement(SQL, "list_audit_links_after");

/// Accounts in one statement. With more, the filter that distributed engines want costs more than the statement.
const ACCOUNTS_TOGETHER: usize = 100;

#[async_trait]
impl Audit for Postgres {
    async fn insert_audit_event(&self, _account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        self.events.write(InsertAuditEvent { event: event.clone() }).await
    }

    async fn list_audit_events(
        &self,
        account: &AccountId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<AuditPage, Error> {
        self.audit_page(account, filter, limit).await
    }

    async fn list_unlinked_accounts(
        &self,
        after: Option<&AccountId>,
        horizons: &LinkHorizons,
        limit: u32,
    ) -> Result<UnlinkedAccounts, Error> {
        let after = after.map_or("", AccountId::as_str);
        let parameters: Parameters<'_> = &[("after", &after), ("limit", &i64::from(limit))];
        let visited = self.read(LIST_ACCOUNTS, parameters, account_id).await?;
        let mut found = UnlinkedAccounts { accounts: Vec::new(), last: visited.last().cloned() };
        for part in visited.chunks(ACCOUNTS_TOGETHER) {
            let ids: Vec<_> = part.iter().map(AccountId::as_str).collect();
            let parameters: Parameters<'_> = &[
                ("account_id", &ids),
                ("settled", &horizons.settled.as_str()),
                ("late", &horizons.late.as_str()),
            ];
            found.accounts.extend(self.read(LIST_UNLINKED_ACCOUNTS, parameters, account_id).await?);
        }
        Ok(found)
    }

    async fn list_unlinked_audit_events(
        &self,
        account: &AccountId,
        first: &AuditEventId,
        end: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("first_id", &first.as_str()),
            ("end_id", &end.as_str()),
            ("limit", &i64::from(limit)),
        ];
        self.read(audit_events::LIST_UNLINKED, parameters, audit_events::record_from).await
    }

    async fn find_audit_chain(&self, account: &AccountId) -> Result<Option<AuditChain>, Error> {
        self.find(FIND, &[("account_id", &account.as_str())], chain_from).await
    }

    async fn list_audit_chains(
        &self,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<AuditChain>, Error> {
        let after = after.map_or("", AccountId::as_str);
        self.read(LIST, &[("after", &after), ("limit", &i64::from(limit))], chain_from).await
    }

    async fn write_audit_chain(&self, account: &AccountId, write: AuditChainWrite) -> Result<Changed, Error> {
        self.writer.write(WriteChain { account: account.clone(), write }).await
    }

    async fn list_audit_links(
        &self,
        account: &AccountId,
        after: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditLinkRow>, Error> {
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("after", &after.as_str()), ("limit", &i64::from(limit))];
        self.read(LIST_LINKS, parameters, link_row_from).await
    }

    async fn list_audit_event_ids(
        &self,
        account: &AccountId,
        after: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<(AuditEventId, bool)>, Error> {
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("after", &after.as_str()), ("limit", &i64::from(limit))];
        let read = |row: &Row| Ok((event_id(row, "audit_event_id")?, rows::get(row, "is_linked")?));
        self.read(audit_events::LIST_IDS, parameters, read).await
    }

    async fn list_audit_links_after(
        &self,
        account: &AccountId,
        position: u64,
        end: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditLink>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("position", &rows::stored_count(position)),
            ("end_id", &end.as_str()),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST_LINKS_AFTER, parameters, link_from).await
    }
}

/// Writes a chain's row with what belongs to it.
struct WriteChain {
    account: AccountId,
    write: AuditChainWrite,
}

#[async_trait]
impl SingleWrite for WriteChain {
    type Answer = Changed;

    // After a lost session, a repetition finds another version and changes nothing: the caller reads the chain again.
    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.write(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl WriteChain {
    async fn write(&self, session: &Session) -> Result<Changed, PgError> {
        let AuditChainWrite { expected_version, chain, links, deleted } = &self.write;
        let account = self.account.as_str();
        let (version, expected) = (rows::stored_count(chain.version), rows::stored_count(*expected_version));
        let row: Parameters<'_> = &[
            ("account_id", &account),
            ("version", &version),
            ("position", &rows::stored_count(chain.position)),
            ("link", &chain.link.0.as_slice()),
            ("linked_event_id", &chain.linked_event_id.as_str()),
            ("checked_event_id", &chain.checked_event_id.as_str()),
            ("deleted_position", &rows::stored_count(chain.deleted_position)),
            ("deleted_link", &chain.deleted_link.0.as_slice()),
            ("updated_at", &chain.updated_at.as_micros()),
            ("row_mac", &chain.row_mac.as_slice()),
        ];
        let written = if *expected_version == 0 {
            session.query_named(INSERT, row).await?
        } else {
            session.query_named(UPDATE, &[row, &[("expected_version", &expected)]].concat()).await?
        };
        if written.is_empty() {
            return Ok(Changed::No);
        }
        if !links.is_empty() {
            let links: Vec<_> = links.iter().collect();
            let parameters: Parameters<'_> = &[
                ("account_id", &account),
                ("audit_event_id", &column(&links, |link| link.event_id.as_str())),
                ("position", &column(&links, |link| rows::stored_count(link.position))),
                ("link", &column(&links, |link| link.link.0.as_slice())),
            ];
            session.query_named(INSERT_LINKS, parameters).await?;
        }
        if !deleted.is_empty() {
            let ids: Vec<_> = deleted.iter().map(AuditEventId::as_str).collect();
            let parameters: Parameters<'_> = &[("account_id", &account), ("audit_event_id", &ids)];
            session.query_named(audit_events::DELETE, parameters).await?;
            session.query_named(DELETE_LINKS, parameters).await?;
        }
        Ok(Changed::Yes)
    }
}

fn account_id(row: &Row) -> Result<AccountId, PgError> {
    rows::get(row, "account_id").map(AccountId::from_stored)
}

fn chain_from(row: &Row) -> Result<AuditChain, PgError> {
    Ok(AuditChain {
        account_id: account_id(row)?,
        version: rows::count(row, "version")?,
        position: rows::count(row, "position")?,
        link: Link(rows::bytes(row, "link")?),
        linked_event_id: event_id(row, "linked_event_id")?,
        checked_event_id: event_id(row, "checked_event_id")?,
        deleted_position: rows::count(row, "deleted_position")?,
        deleted_link: Link(rows::bytes(row, "deleted_link")?),
        updated_at: rows::instant(row, "updated_at")?,
        row_mac: rows::get(row, "row_mac")?,
    })
}

fn link_from(row: &Row) -> Result<AuditLink, PgError> {
    Ok(AuditLink {
        event_id: event_id(row, "linked_event_id")?,
        position: rows::count(row, "position")?,
        link: Link(rows::bytes(row, "link")?),
    })
}

fn link_row_from(row: &Row) -> Result<AuditLinkRow, PgError> {
    let is_there = rows::get::<Option<&str>>(row, "audit_event_id")?.is_some();
    let event = if is_there { Some(audit_events::record_from(row)?) } else { None };
    Ok(AuditLinkRow { link: link_from(row)?, event })
}
