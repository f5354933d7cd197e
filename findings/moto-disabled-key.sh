#!/usr/bin/env bash
# Decrypting with a KMS key that is disabled. AWS refuses with DisabledException, and with KMSInvalidStateException if the key
# is pending deletion (API reference of Decrypt, Errors). moto 5.2.5 decrypts in both states; for a ciphertext of another key
# than KeyId names it returns AccessDeniedException, where AWS documents IncorrectKeyException. A test of what a program does
# with a disabled key therefore passes with moto although the program was never refused.
#
# Output seen on 2026-12-01, with Python 3.11.7:
#
#     disabled           decrypted
#     pending deletion   decrypted
#     another key        AccessDeniedException
#
# Needs bash and python3 with venv. Installs into a temporary directory. Fails if a result changes.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check 'moto[kms]==5.2.5' boto3==1.44.8

cat >check.py <<'TEXT'
import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

expected = {'disabled': 'decrypted', 'pending deletion': 'decrypted', 'another key': 'AccessDeniedException'}


@mock_aws
def results():
    kms = boto3.client('kms', region_name='eu-west-1', aws_access_key_id='a', aws_secret_access_key='b')
    make = lambda: kms.create_key()['KeyMetadata']['KeyId']
    def decrypt(key, ciphertext):
        try:
            kms.decrypt(KeyId=key, CiphertextBlob=ciphertext)
            return 'decrypted'
        except ClientError as error:
            return error.response['Error']['Code']
    key = make()
    ciphertext = kms.encrypt(KeyId=key, Plaintext=b'x')['CiphertextBlob']
    found = {'another key': decrypt(make(), ciphertext)}
    kms.disable_key(KeyId=key)
    found['disabled'] = decrypt(key, ciphertext)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    found['pending deletion'] = decrypt(key, ciphertext)
    return found


found = results()
for name in expected:
    print(f'{name:<19}{found[name]}')
assert found == expected, found
TEXT
python/bin/python check.py
