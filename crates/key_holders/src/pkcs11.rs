//! A token with a PKCS #11 module, over `cryptoki`. AES-GCM with associated data; the nonce is the token's.
//!
//! A module is a library of someone else that blocks, and may never return. Each call has its own thread, which is
//! abandoned after the time limit, so that neither the service nor its end waits for it.

mod code;

use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::{AuthPin, Ulong};
use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

use crate::error::{Failure, FailureKind};
use crate::secret_file::FileSecret;
use crate::{KEY_LEN, Pkcs11Config, associated_data};

const NONCE_LEN: usize = 12;
const TAG_BITS: u64 = 128;

/// A process initializes a module once, so one call runs at a time. While an abandoned one runs, none does.
static RUNNING: Semaphore = Semaphore::const_new(1);

/// A client of one key.
#[derive(Debug)]
pub(crate) struct Token {
    config: Pkcs11Config,
}

/// What a token does with its key.
enum Operation {
    Encrypt(Zeroizing<Vec<u8>>),
    /// Nonce, ciphertext and tag.
    Decrypt(Vec<u8>),
}

impl Token {
    pub(crate) fn new(config: Pkcs11Config) -> Self {
        Self { config }
    }

    pub(crate) async fn encrypt(&self, key_id: &str, key: &[u8; KEY_LEN]) -> Result<String, Failure> {
        let operation = Operation::Encrypt(Zeroizing::new(key.to_vec()));
        self.run(key_id, operation).await.map(|sealed| STANDARD.encode(&*sealed))
    }

    pub(crate) async fn decrypt(&self, key_id: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let sealed = STANDARD.decode(text).map_err(|_| Failure::wrong_context(key_id))?;
        self.run(key_id, Operation::Decrypt(sealed)).await
    }

    async fn run(&self, key_id: &str, operation: Operation) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let ended = || Failure::unavailable("its module ended the thread that called it");
        let permit = RUNNING.acquire().await.map_err(|_| ended())?;
        let (config, key_id) = (self.config.clone(), key_id.to_owned());
        let (sender, receiver) = oneshot::channel();
        let call = move || {
            // Without a receiver the call was abandoned.
            let _ = sender.send(call_module(&config, &key_id, operation));
            drop(permit);
        };
        thread::Builder::new().name("pkcs11".to_owned()).spawn(call).map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())?
    }
}

/// Loads and initializes the module for one operation. Only a new initialization finds a token that was added.
fn call_module(
    config: &Pkcs11Config,
    key_id: &str,
    operation: Operation,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let module = Pkcs11::new(&config.module).map_err(|error| match error {
        Error::LibraryLoading(error) => {
            Failure::misconfigured(format!("the module cannot be loaded: {error}"))
        }
        _ => Failure::misconfigured("the module is not a PKCS #11 library"),
    })?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(explain(&error)),
    }
    let result = use_key(&module, config, key_id, operation);
    // The next call would report a failure.
    let _ = module.finalize();
    result
}

fn use_key(
    module: &Pkcs11,
    config: &Pkcs11Config,
    key_id: &str,
    operation: Operation,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let slot = find_slot(module, &config.token)?;
    let session = module.open_ro_session(slot).map_err(|error| explain(&error))?;
    let pin = FileSecret::read("keyring.pkcs11.pin_file", &config.pin_file)?;
    let pin = AuthPin::from(pin.expose().to_owned());
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
        Err(error) => return Err(explain(&error)),
    }
    let key = find_key(&session, &config.key)?;
    let context = associated_data(key_id);
    match operation {
        Operation::Encrypt(plain) => {
            let mut nonce = [0; NONCE_LEN];
            session.generate_random_slice(&mut nonce).map_err(|error| explain(&error))?;
            let sealed = gcm(&mut nonce.clone(), &context)
                .and_then(|mechanism| session.encrypt(&mechanism, key, &plain))
                .map_err(|error| explain(&error))?;
            Ok(Zeroizing::new([nonce.as_slice(), &sealed].concat()))
        }
        Operation::Decrypt(sealed) => {
            let (nonce, body) =
                sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(|| Failure::wrong_context(key_id))?;
            let plain = gcm(&mut nonce.clone(), &context)
                .and_then(|mechanism| session.decrypt(&mechanism, key, body));
            plain.map(Zeroizing::new).map_err(|error| {
                let failure = explain(&error);
                if failure.kind == FailureKind::WrongContext || (is_vague(&error) && works(&session, key)) {
                    return Failure::wrong_context(key_id);
                }
                failure
            })
        }
    }
}

fn gcm<'a>(nonce: &'a mut [u8; NONCE_LEN], context: &'a str) -> Result<Mechanism<'a>, Error> {
    GcmParams::new(nonce, context.as_bytes(), Ulong::from(TAG_BITS)).map(Mechanism::AesGcm)
}

fn find_slot(module: &Pkcs11, token: &str) -> Result<Slot, Failure> {
    for slot in module.get_slots_with_initialized_token().map_err(|error| explain(&error))? {
        // A token may be removed meanwhile.
        if module.get_token_info(slot).is_ok_and(|info| info.label() == token) {
            return Ok(slot);
        }
    }
    Err(Failure::unavailable(
        "no token with this label is present: connect it, or check keyring.pkcs11.token",
    ))
}

fn find_key(session: &Session, label: &str) -> Result<ObjectHandle, Failure> {
    let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Label(label.as_bytes().to_vec())];
    let found = session.find_objects(&template).map_err(|error| explain(&error))?;
    match found.as_slice() {
        [key] => Ok(*key),
        [] => Err(Failure::new(
            FailureKind::KeyNotFound,
            "the token has no secret key with this label, or the PIN does not show it",
        )),
        _ => Err(Failure::misconfigured("several keys of the token have this label")),
    }
}

/// Whether an error of decrypting may be about the token or about the ciphertext. SoftHSM 2.6.1 returns it for a wrong tag.
fn is_vague(error: &Error) -> bool {
    matches!(error, Error::Pkcs11(RvError::GeneralError | RvError::FunctionFailed, _))
}

/// Whether the key decrypts what it has encrypted: if so, only the ciphertext can be the cause of a failure.
fn works(session: &Session, key: ObjectHandle) -> bool {
    let mut nonce = [0; NONCE_LEN];
    let probe = [0; KEY_LEN];
    let attempt = session.generate_random_slice(&mut nonce).and_then(|()| {
        let sealed = session.encrypt(&gcm(&mut nonce.clone(), "probe")?, key, &probe)?;
        session.decrypt(&gcm(&mut nonce.clone(), "probe")?, key, &sealed)
    });
    attempt.is_ok_and(|plain| plain == probe)
}

fn explain(error: &Error) -> Failure {
    let Error::Pkcs11(code, function) = error else {
        return Failure::misconfigured("its module does not support what is needed");
    };
    let kind = code::kind_of(code);
    let what = match kind {
        FailureKind::Unavailable => "the token has a failure",
        FailureKind::Forbidden => "the user of the token may not use the key",
        FailureKind::KeyDisabled => "its attributes do not allow encrypting or decrypting",
        FailureKind::KeyNotFound => "the token no longer has it",
        FailureKind::WrongContext => "the ciphertext does not match",
        FailureKind::Misconfigured => match code {
            RvError::PinLocked => "the PIN is locked: the security officer of the token can set a new one",
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired => {
                "the PIN in keyring.pkcs11.pin_file is wrong. It was tried once; a token locks it after a few attempts"
            }
            _ => "the key must be an AES key, and the token must support CKM_AES_GCM",
        },
    };
    Failure::new(kind, format!("{what} ({code:?} of {function:?})"))
}
