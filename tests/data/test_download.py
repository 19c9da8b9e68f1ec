"""Downloads of official archives, from a server of one file."""

import hashlib
import http.server
import threading
from dataclasses import replace

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data.prepare import archives


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `content`, from where it is asked to, at most `most` bytes of it."""

    content, most, asked = b"", 10**9, []

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        type(self).asked.append(start)
        self.send_response(206 if start else 200)
        self.end_headers()
        self.wfile.write(self.content[start : start + self.most])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """A server of one file; returns its handler and address."""
    handler = type("Handler", (Handler,), {"asked": []})
    served = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield handler, f"http://localhost:{served.server_port}/x.bin"
    served.shutdown()
    thread.join()
    served.server_close()


def test_a_download_goes_on_where_it_stopped_and_is_verified(tmp_path, server):
    handler, address = server
    handler.content, handler.most = np.random.default_rng(0).bytes(5000), 3000
    sha256 = hashlib.sha256(handler.content).hexdigest()
    archive = archives.Archive(address, 5000, sha256)
    with pytest.raises(UserError, match=r"could not be downloaded: the connection ended early"):
        archives.collect_archives([archive], (), tmp_path)
    assert not (tmp_path / "x.bin").exists()
    found = archives.collect_archives([archive], (), tmp_path)
    assert found["x.bin"].read_bytes() == handler.content
    assert handler.asked == [0, 3000]
    archives.collect_archives([archive], (), tmp_path)
    assert len(handler.asked) == 2  # it is there
    (tmp_path / "x.bin").unlink()
    handler.most = 5000
    with pytest.raises(UserError, match=r"its SHA-256 is"):
        archives.collect_archives([replace(archive, sha256="0" * 64)], (), tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"could not be downloaded: .*; run the command again, or"):
        archives.collect_archives([replace(archive, url="http://localhost:1/x.bin")], (), tmp_path)
