"""`python -m local.stack.functions PORT FOLDER [APP]`: serve a function app until stopped.

FOLDER keeps the durable state; host.json and the app (function_app, if none is named) are found in the working folder.
The storage account is the one the app itself uses: AzureWebJobsStorage.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from local.functions_host.bindings import QueueInput
from local.functions_host.host import Settings
from local.sqlite.database import Database
from local.stack.functions.host import SharedHost, Workers, where
from local.stack.functions.queues import Listener, Polling
from local.stack.functions.server import Server

ORIGIN = "http://127.0.0.1:{port}"
_WORKERS = 8
_log = logging.getLogger(__name__)


def main() -> None:
    """Serve until stopped: requests, queues, and the hub in the background."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("azure", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    port, folder, *named = sys.argv[1:]
    sys.path.insert(0, str(Path.cwd()))
    database = Database(Path(folder) / "durable.db")
    host_json = Path("host.json")
    origin = ORIGIN.format(port=port)
    host = SharedHost(named[0] if named else "function_app", database, origin, Settings.read(host_json))
    listeners = _listeners(host, Polling.read(host_json))
    workers = Workers(host, _WORKERS, _give_up)
    workers.start()
    for listener in listeners:
        listener.start()
    try:
        web.run_app(Server(host).app(), host="127.0.0.1", port=int(port), print=None, access_log=None)
    finally:
        for listener in listeners:
            listener.stop()
        workers.stop()
        host.close()
        database.close()


def _listeners(host: SharedHost, polling: Polling) -> list[Listener]:
    def handle(queue: str, message: QueueInput) -> None:
        with host.turns.taken():
            host.invoke_queue(queue, message)

    functions = [one for one in host.functions.values() if one.kind == "queueTrigger"]
    return [
        Listener(os.environ[one.trigger["connection"]], one.trigger["queueName"], polling, handle) for one in functions
    ]


def _give_up(error: BaseException) -> None:
    """End the process: a host whose hub stands still must not look alive."""
    _log.critical("the durable hub stopped: %s", where(error))
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
