//! The page of documentation about errors.

use std::fmt::Write as _;

use super::code::Code;
use super::codes::ErrorSpec;

/// The table as a page of documentation.
pub fn errors_markdown() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Generated from the table in `crates/web/src/error/codes.rs`; a test fails when this page is stale.\n\n\
         Every error is `{\"code\":\"…\",\"message\":\"…\"}`, plus what its row says. Branch on `code`; show `message`\n\
         to people. Every response has `X-Request-Id`: send it to the operator, whose log contains it. The one exception\n\
         is a request that is not HTTP (a malformed request line, a header that is too long): it gets 400, 414 or 431 with\n\
         an empty body, and the connection closes.\n\n\
         | status | code | message | when it occurs, and what to do |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let ErrorSpec { status, code, message, help } = code.spec();
        // Writing to a `String` does not fail.
        let _ = writeln!(page, "| {} | `{code}` | {message} | {help} |", status.as_u16());
    }
    page
}
