"""Makes a container in an Azure Blob server unless it is there: azure_container.py URL ACCOUNT KEY CONTAINER

For Azurite, which has the account in the path. Status 1 while the server does not answer.
"""

import base64
import hashlib
import hmac
import sys
from datetime import datetime, timezone
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

VERSION = "2021-08-06"
EXISTS = 409


def main() -> int:
    url, account, key, container = sys.argv[1:]
    date = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    path = f"/{account}/{container}"
    # What is signed: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    lines = ["PUT", *[""] * 11, f"x-ms-date:{date}", f"x-ms-version:{VERSION}", f"/{account}{path}", "restype:container"]
    signature = base64.b64encode(hmac.digest(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256)).decode()
    headers = {"x-ms-date": date, "x-ms-version": VERSION, "Authorization": f"SharedKey {account}:{signature}", "Content-Length": "0"}
    try:
        urlopen(Request(f"{url}{path}?restype=container", method="PUT", headers=headers), timeout=5).close()
    except HTTPError as error:
        return 0 if error.code == EXISTS else 1
    except (URLError, OSError):
        return 1
    return 0


sys.exit(main())
