#!/usr/bin/env python3
"""Prints a shared access signature for all blobs of an account: azure_sas.py ACCOUNT KEY"""

import base64
import hashlib
import hmac
import sys
import urllib.parse

account, key = sys.argv[1:]
version, services, types, permissions, expiry, protocol = "2020-10-02", "b", "sco", "rwdlac", "2049-01-01T00:00:00Z", "https,http"
text = "\n".join([account, permissions, services, types, "", expiry, "", protocol, version, ""])
signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest())
fields = {"sv": version, "ss": services, "srt": types, "sp": permissions, "se": expiry, "spr": protocol, "sig": signature}
print(urllib.parse.urlencode(fields))
