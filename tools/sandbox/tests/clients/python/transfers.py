"""Sends a file to upload links, all at once, as the public client of tus for Python does it.

Run it with FILE, CHUNK_BYTES and LINKS (a JSON array) in the environment. It prints a line for each link: "complete", or
"failed" and the status that ended it.
"""

import concurrent.futures
import json
import os

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

# tuspy needs a creation URL. It is not used, since the uploads exist already.
CLIENT = TusClient("http://127.0.0.1:9/never-asked")


def transfer(link):
    try:
        uploader = CLIENT.uploader(
            os.environ["FILE"],
            url=link,
            chunk_size=int(os.environ["CHUNK_BYTES"]),
            retries=25,
            retry_delay=0.2,
        )
        uploader.upload()
    except TusCommunicationError as error:
        return f"failed {error.status_code}"
    return "complete"


def main():
    links = json.loads(os.environ["LINKS"])
    with concurrent.futures.ThreadPoolExecutor(len(links)) as pool:
        for outcome in pool.map(transfer, links):
            print(outcome)


main()
