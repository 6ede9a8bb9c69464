"""A plain HTTP server on the loopback, in a thread, for what is asked by libraries that block."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Quiet(BaseHTTPRequestHandler):
    """A handler that says nothing on standard error."""

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(handler, *, tls=None, **known):
    """Give a server with its `url`, and with what its handler finds there by name.

    Parameters
    ----------
    handler
        A class that is derived from :class:`Quiet`.
    tls
        The context of a server that speaks TLS.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_port}"
    vars(server).update(known)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
