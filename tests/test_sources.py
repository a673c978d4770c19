"""What a text or an object given as picture stands for."""

import base64
import io
import socketserver
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstlib import InputError, load_image, samples
from nstlib.pictures import sources


@pytest.fixture
def file(picture):
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def serve():
    """A function that starts a web server on this machine, which gives this answer and keeps what it was asked."""
    servers = []

    def start(answer):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.server.asked.append(self.rfile.readline().split()[1].decode())
                self.wfile.write(answer)

        server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        server.asked = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def same(source, picture):
    np.testing.assert_allclose(load_image(source)[0].permute(1, 2, 0).numpy(), picture / 255, atol=1e-6)


def test_paths(tmp_path, picture, file, monkeypatch):
    path = tmp_path / "p q.png"
    path.write_bytes(file)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for source in (path, path.as_uri(), path.as_uri().replace("file:", "FILE:"), f'"{path}"', f"'{path}'",
                   f"  {path}\n", "~/p q.png", Path("~/p q.png")):  # fmt: skip
        same(source, picture)


def test_streams(tmp_path, picture, file):
    upload = io.BytesIO(file)
    upload.read()  # someone looked at it before
    same(upload, picture)
    (tmp_path / "p.png").write_bytes(file)
    with open(tmp_path / "p.png", "rb") as opened:
        same(opened, picture)
    with open(tmp_path / "p.png", encoding="latin-1") as text, pytest.raises(InputError, match="opened in binary mode"):
        load_image(text)

    class Pipe:
        def read(self):
            return file

    same(Pipe(), picture)


def test_data_address(picture, file):
    same("data:image/png;base64," + base64.b64encode(file).decode(), picture)
    for broken in ("data:nothing", "data:image/png;base64,A"):
        with pytest.raises(InputError):
            load_image(broken)


def test_samples_of_either_kind():
    same("sample:coffee", np.asarray(samples.content("coffee")))
    same(" Sample:Embers ", np.asarray(samples.style("embers")))
    with pytest.raises(InputError, match="unknown sample 'chelsae'.*did you mean 'chelsea'"):
        load_image("sample:chelsae")


def test_web_address(picture, file, serve):
    server, address = serve(b"HTTP/1.0 200 OK\r\n\r\n" + file)
    same(f"{address}/a b/\u00fc.png?x=1%202&y=3", picture)
    same(address.replace("http:", "HTTP:"), picture)
    assert server.asked == ["/a%20b/%C3%BC.png?x=1%202&y=3", "/"]


def test_web_page_in_place_of_a_picture(serve):
    _, address = serve(b"HTTP/1.0 200 OK\r\n\r\n<!doctype html><html>Sign in</html>")
    with pytest.raises(InputError, match=r"http://127.* is not a picture but a web page: copy the address"):
        load_image(address)


def test_download_without_end(serve, monkeypatch):
    monkeypatch.setattr(sources, "MAX_DOWNLOAD", 2 << 20)
    _, address = serve(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(3 << 20))
    with pytest.raises(InputError, match="larger than 2 MB"):
        load_image(address)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc",
        b"garbage\r\n",
        b"",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
    ],
)
def test_answers_that_are_none(serve, answer):
    _, address = serve(answer)
    with pytest.raises(InputError, match="could not download http://127|damaged|not a picture"):
        load_image(address)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://127.0.0.1:9/p.png", "could not download http://127.0.0.1:9/p.png"),
        ("HTTPS://127.0.0.1:9/p.png", "could not download HTTPS"),
        ("http://127.0.0.1:port/p.png", "could not download .*port"),
        ("http:", "could not download http:"),
        ("http://127.0.0.1:9/a\nb", "could not download"),
        ("s3://bucket/p.png", "s3 addresses are not supported; download the file first"),
        (Path("https://example.org/p.png"), "an address must be a plain string, not a Path"),
        ("x" * 5000, r"^cannot open x{60} … x{37}: File name too long$"),
        ("none.png", "no such file: none.png"),
        ("a\0b", "no such file"),
        ("~nobody-of-that-name/p.png", "cannot open ~nobody"),
        ("", "received an empty text"),
        ('""', "received an empty text"),
        (".", "is a folder, not a picture"),
        ("/dev/null", "is a device or pipe|no such file"),
    ],
)
def test_texts_that_stand_for_nothing(source, message):
    with pytest.raises(InputError, match=message):
        load_image(source)
