//! What an error code of KMS means. Codes are for programs; the texts beside them are not read.

use crate::error::FailureKind;

/// The kind of failure for this code, or for this status if the code is unknown.
pub(super) fn kind_of(code: &str, status: u16) -> FailureKind {
    match code {
        "DisabledException" | "KMSInvalidStateException" => FailureKind::KeyDisabled,
        "NotFoundException" => FailureKind::KeyNotFound,
        "InvalidCiphertextException" | "IncorrectKeyException" => FailureKind::WrongContext,
        "AccessDeniedException"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidGrantTokenException"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "NotAuthorized"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => FailureKind::Forbidden,
        "DependencyTimeoutException"
        | "KeyUnavailableException"
        | "KMSInternalException"
        | "LimitExceededException"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException" => FailureKind::Unavailable,
        "InvalidKeyUsageException" | "ValidationException" | "ValidationError" => FailureKind::Misconfigured,
        _ => match status {
            401 | 403 => FailureKind::Forbidden,
            408 | 429 | 500..=599 => FailureKind::Unavailable,
            _ => FailureKind::Misconfigured,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_to_do_next_and_else_the_status() {
        use FailureKind::{Forbidden, KeyDisabled, KeyNotFound, Misconfigured, Unavailable, WrongContext};
        for (code, status, expected) in [
            ("DisabledException", 400, KeyDisabled),
            ("KMSInvalidStateException", 400, KeyDisabled),
            ("NotFoundException", 400, KeyNotFound),
            ("InvalidCiphertextException", 400, WrongContext),
            ("IncorrectKeyException", 400, WrongContext),
            ("AccessDeniedException", 400, Forbidden),
            ("ExpiredTokenException", 403, Forbidden),
            ("UnrecognizedClientException", 403, Forbidden),
            ("ThrottlingException", 400, Unavailable),
            ("KMSInternalException", 500, Unavailable),
            ("InvalidKeyUsageException", 400, Misconfigured),
            ("", 503, Unavailable),
            ("", 429, Unavailable),
            ("Something", 403, Forbidden),
            ("Something", 400, Misconfigured),
            ("", 200, Misconfigured),
        ] {
            assert_eq!(kind_of(code, status), expected, "{code} {status}");
        }
    }
}
