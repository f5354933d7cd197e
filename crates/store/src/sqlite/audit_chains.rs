//! The chain that links an account's audit events.

use async_trait::async_trait;
use domain::audit::{AuditChain, AuditEvent, AuditFilter, AuditLink, AuditRecord, Link};
use domain::id::{AccountId, AuditEventId};
use rusqlite::{Connection, Row, named_params};

use super::rows::Columns;
use super::writer::WriteResult;
use super::{Sqlite, audit_events, rows, statements};
use crate::sql::statement;
use crate::{
    Audit, AuditChainWrite, AuditLinkRow, AuditPage, Changed, Error, LinkHorizons, UnlinkedAccounts,
};

const SQL: &str = include_str!("sql/audit_chains.sql");
const LIST_ACCOUNTS: &str = statement(SQL, "list_audited_accounts");
const HAS_UNLINKED: &str = statement(SQL, "has_unlinked_events");
const FIND: &str = statement(SQL, "find_audit_chain");
const LIST: &str = statement(SQL, "list_audit_chains");
const INSERT: &str = statement(SQL, "insert_audit_chain");
const UPDATE: &str = statement(SQL, "update_audit_chain");
const INSERT_LINK: &str = statement(SQL, "insert_audit_link");
const DELETE_LINK: &str = statement(SQL, "delete_audit_link");
const LIST_LINKS: &str = statement(SQL, "list_audit_links");
const LIST_LINKS_AFTER: &str = statement(SQL, "list_audit_links_after");

#[async_trait]
impl Audit for Sqlite {
    async fn insert_audit_event(&self, account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |database| Ok(Ok(audit_events::insert(database, &account, &event)?))).await
    }

    async fn list_audit_events(
        &self,
        account: &AccountId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<AuditPage, Error> {
        self.readers.read(|database| audit_events::list(database, account, filter, limit))
    }

    async fn list_unlinked_accounts(
        &self,
        after: Option<&AccountId>,
        horizons: &LinkHorizons,
        limit: u32,
    ) -> Result<UnlinkedAccounts, Error> {
        self.readers.read(|database| list_unlinked_accounts(database, after, horizons, limit))
    }

    async fn list_unlinked_audit_events(
        &self,
        account: &AccountId,
        first: &AuditEventId,
        end: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, Error> {
        self.readers.read(|database| audit_events::list_unlinked(database, account, (first, end), limit))
    }

    async fn find_audit_chain(&self, account: &AccountId) -> Result<Option<AuditChain>, Error> {
        self.readers.read(|database| {
            statements::find(database, FIND, named_params! { ":account_id": account.as_str() }, chain_from)
        })
    }

    async fn list_audit_chains(
        &self,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<AuditChain>, Error> {
        let after = after.map_or("", AccountId::as_str);
        self.readers.read(|database| {
            let parameters = named_params! { ":after": after, ":limit": limit };
            statements::list(database, LIST, parameters, chain_from)
        })
    }

    async fn write_audit_chain(&self, account: &AccountId, write: AuditChainWrite) -> Result<Changed, Error> {
        let account = account.clone();
        self.writer.write(move |database| write_chain(database, &account, &write)).await
    }

    async fn list_audit_links(
        &self,
        account: &AccountId,
        after: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditLinkRow>, Error> {
        self.readers.read(|database| {
            let parameters =
                named_params! { ":account_id": account.as_str(), ":after": after.as_str(), ":limit": limit };
            statements::list(database, LIST_LINKS, parameters, link_row_from)
        })
    }

    async fn list_audit_event_ids(
        &self,
        account: &AccountId,
        after: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<(AuditEventId, bool)>, Error> {
        self.readers.read(|database| audit_events::list_ids(database, account, after, limit))
    }

    async fn list_audit_links_after(
        &self,
        account: &AccountId,
        position: u64,
        end: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditLink>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! {
                ":account_id": account.as_str(),
                ":position": position,
                ":end_id": end.as_str(),
                ":limit": limit,
            };
            statements::list(database, LIST_LINKS_AFTER, parameters, link_from)
        })
    }
}

fn list_unlinked_accounts(
    database: &Connection,
    after: Option<&AccountId>,
    horizons: &LinkHorizons,
    limit: u32,
) -> rusqlite::Result<UnlinkedAccounts> {
    let parameters = named_params! { ":after": after.map_or("", AccountId::as_str), ":limit": limit };
    let visited = statements::list(database, LIST_ACCOUNTS, parameters, |row| row.get("account_id"))?;
    let mut found = UnlinkedAccounts::default();
    for account in visited.into_iter().map(AccountId::from_stored) {
        let parameters = named_params! {
            ":account_id": account.as_str(),
            ":settled": horizons.settled.as_str(),
            ":late": horizons.late.as_str(),
        };
        if statements::value(database, HAS_UNLINKED, parameters)? {
            found.accounts.push(account.clone());
        }
        found.last = Some(account);
    }
    Ok(found)
}

fn write_chain(database: &Connection, account: &AccountId, write: &AuditChainWrite) -> WriteResult<Changed> {
    let AuditChainWrite { expected_version, chain, links, deleted } = write;
    let row = named_params! {
        ":account_id": account.as_str(),
        ":version": chain.version,
        ":position": chain.position,
        ":link": chain.link.0,
        ":linked_event_id": chain.linked_event_id.as_str(),
        ":checked_event_id": chain.checked_event_id.as_str(),
        ":deleted_position": chain.deleted_position,
        ":deleted_link": chain.deleted_link.0,
        ":updated_at": chain.updated_at.as_micros(),
        ":row_mac": chain.row_mac,
    };
    let written = if *expected_version == 0 {
        statements::execute(database, INSERT, row)?
    } else {
        let expected: statements::Parameters<'_> = &[(":expected_version", expected_version)];
        statements::execute(database, UPDATE, &[row, expected].concat())?
    };
    if written == 0 {
        return Ok(Ok(Changed::No));
    }
    for AuditLink { event_id, position, link } in links {
        let parameters = named_params! {
            ":account_id": account.as_str(),
            ":audit_event_id": event_id.as_str(),
            ":position": position,
            ":link": link.0,
        };
        statements::execute(database, INSERT_LINK, parameters)?;
    }
    for id in deleted {
        audit_events::delete(database, account, id)?;
        let parameters = named_params! { ":account_id": account.as_str(), ":audit_event_id": id.as_str() };
        statements::execute(database, DELETE_LINK, parameters)?;
    }
    Ok(Ok(Changed::Yes))
}

fn chain_from(row: &Row<'_>) -> rusqlite::Result<AuditChain> {
    Ok(AuditChain {
        account_id: AccountId::from_stored(row.get("account_id")?),
        version: row.get("version")?,
        position: row.get("position")?,
        link: Link(rows::bytes(row, "link")?),
        linked_event_id: audit_events::event_id(row, "linked_event_id")?,
        checked_event_id: audit_events::event_id(row, "checked_event_id")?,
        deleted_position: row.get("deleted_position")?,
        deleted_link: Link(rows::bytes(row, "deleted_link")?),
        updated_at: rows::instant(row, "updated_at")?,
        row_mac: row.get("row_mac")?,
    })
}

fn link_from(row: &Row<'_>) -> rusqlite::Result<AuditLink> {
    link_from_columns(&mut Columns::of(row))
}

fn link_from_columns(columns: &mut Columns<'_, '_>) -> rusqlite::Result<AuditLink> {
    Ok(AuditLink {
        event_id: AuditEventId::from_stored(columns.get("linked_event_id")?),
        position: columns.get("position")?,
        link: Link(columns.get("link")?),
    })
}

fn link_row_from(row: &Row<'_>) -> rusqlite::Result<AuditLinkRow> {
    let mut columns = Columns::of(row);
    let link = link_from_columns(&mut columns)?;
    let has_event: bool = columns.get("has_event")?;
    let event = if has_event { Some(audit_events::record_from_columns(&mut columns)?) } else { None };
    Ok(AuditLinkRow { link, event })
}
