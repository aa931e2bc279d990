"""What every stand-in has in common that serves on this machine."""

import threading
from http.server import ThreadingHTTPServer


class Serving:
    """Serves `server` while it is entered."""

    server: ThreadingHTTPServer

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
