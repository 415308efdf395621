"""Where Cloud Functions finds its functions: `record` behind a Pub/Sub push subscription, and `query`.

functions-framework puts this file's own folder on sys.path. In a deployment that is the folder that holds
`gcp` and `shared`, too (see `tools/package.py`); in a checkout they come from the installed project.
"""

from __future__ import annotations

import functions_framework

from gcp import handlers

record = functions_framework.http(handlers.record)
query = functions_framework.http(handlers.query)
