"""Verifies webhooks with the public library: lines of JSON with secret, headers and body; prints one verdict a line."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    webhook = json.loads(line)
    try:
        content = Webhook(webhook["secret"]).verify(webhook["body"], webhook["headers"])
        print("verified", content["type"])
    except WebhookVerificationError as error:
        print("refused", error)
