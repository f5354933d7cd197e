//! What a return value of a PKCS #11 module means.

use cryptoki::error::RvError;

use crate::error::FailureKind;

pub(super) fn kind_of(code: &RvError) -> FailureKind {
    match code {
        RvError::PinIncorrect
        | RvError::PinInvalid
        | RvError::PinLenRange
        | RvError::PinExpired
        | RvError::PinLocked
        | RvError::UserPinNotInitialized
        | RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::KeyTypeInconsistent
        | RvError::KeySizeRange
        | RvError::FunctionNotSupported
        | RvError::NeedToCreateThreads
        | RvError::CantLock
        | RvError::ArgumentsBad => FailureKind::Misconfigured,
        RvError::KeyFunctionNotPermitted | RvError::ActionProhibited => FailureKind::KeyDisabled,
        RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::SignatureInvalid => {
            FailureKind::WrongContext
        }
        RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid => FailureKind::KeyNotFound,
        RvError::UserNotLoggedIn | RvError::UserTypeInvalid | RvError::FunctionRejected => {
            FailureKind::Forbidden
        }
        _ => FailureKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_value_says_what_to_do_next() {
        use FailureKind::{Forbidden, KeyDisabled, KeyNotFound, Misconfigured, Unavailable, WrongContext};
        for (code, expected) in [
            (RvError::PinIncorrect, Misconfigured),
            (RvError::PinLocked, Misconfigured),
            (RvError::MechanismInvalid, Misconfigured),
            (RvError::KeyFunctionNotPermitted, KeyDisabled),
            (RvError::EncryptedDataInvalid, WrongContext),
            (RvError::ObjectHandleInvalid, KeyNotFound),
            (RvError::UserNotLoggedIn, Forbidden),
            (RvError::TokenNotPresent, Unavailable),
            (RvError::DeviceRemoved, Unavailable),
            (RvError::GeneralError, Unavailable),
        ] {
            assert_eq!(kind_of(&code), expected, "{code:?}");
        }
    }
}
