"""A web server for the cases: files, and git repositories."""

import email.utils
import http.server
import os
import subprocess
import threading
import urllib.parse

from .case import EPOCH, entry, tar

DATES = {"GIT_AUTHOR_DATE": "2020-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2020-01-03T03:04:05Z"}
NAME = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "test"), ("EMAIL", "t@example.com"))}


def _files():
    """By name: (bytes, whether the server tells when it was modified)."""
    archive = tar(entry("d", kind=b"5"), entry("d/in", "in\n", mtime=EPOCH + 5), entry("top", "top\n", mode=0o600, uid=5, gid=6))
    context = tar(entry("Dockerfile", "FROM scratch\nCOPY . /\n"), entry("a", "a\n", mtime=EPOCH + 7), entry("sub", kind=b"5"),
                  entry("sub/Dockerfile", "FROM scratch\nCOPY sub /s\n"), entry("sub/sub", "deep\n"))
    return {"file.txt": (b"file\n", True), "undated.txt": (b"undated\n", False), "data.tar": (archive, True),
            "context.tar": (context, True), "undated.tar": (context, False), "empty": (b"", True),
            "undated.plain": (b"FROM scratch\nCOPY context /itself\n", False), "plain": (b"FROM scratch\nCOPY context /itself\n", True), "with%20blank": (b"blank\n", True)}


class Web:
    """Serves /NAME, and /git/NAME.git from repositories below `work`."""

    def __init__(self, work):
        self.root = work
        self.files = _files()
        self.commits = {}  # by repository and name
        self._make_repositories()
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                web.answer(self)

            do_HEAD = do_POST = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        path = urllib.parse.urlsplit(request.path).path
        if path.startswith("/git/"):
            return self._run_git(request, path[4:])
        body, dated = self.files.get(path[1:], (None, False))
        if body is None:
            return self._reply(request, 404, [], b"")
        headers = [("Last-Modified", email.utils.formatdate(EPOCH, usegmt=True))] if dated else []
        return self._reply(request, 200, headers, body)

    @staticmethod
    def _reply(request, status, headers, body):
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def _run_git(self, request, path):
        body = b""
        if request.headers.get("Transfer-Encoding") == "chunked":
            while size := int(request.rfile.readline(), 16):
                body += request.rfile.read(size)
                request.rfile.readline()
            request.rfile.readline()
        else:
            body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "HOME": "/dev/null",
            "PATH_INFO": path, "QUERY_STRING": urllib.parse.urlsplit(request.path).query, "REQUEST_METHOD": request.command,
            "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""), "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }
        output = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self._reply(request, status, [field for field in headers if field[0] not in ("Status", "Content-Length")], content)

    def _git(self, directory, *words):
        environment = {"PATH": os.environ["PATH"], "HOME": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", **DATES, **NAME}
        command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *words]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def _commit(self, directory, name, files):
        for path, content in files.items():
            path = directory / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self._git(directory, "add", "-A")
        self._git(directory, "commit", "-qm", name)
        return self._git(directory, "rev-parse", "HEAD")

    def _make_repositories(self):
        """main.git: branches main and other, a tag v1 and an annotated one; super.git with sub.git in it."""
        main = self.root / "main"
        main.mkdir(parents=True)
        self._git(main, "init", "-q")
        (main / "run").write_text("#!/bin/sh\n")
        (main / "run").chmod(0o755)
        (main / "link").symlink_to("dir/b")
        first = {"Dockerfile": "FROM scratch\nCOPY . /all/\n", "a": "one\n", "dir/b": "b\n", "dir/Dockerfile": "FROM scratch\nCOPY b /\n",
                 ".dockerignore": "a\n"}
        self.commits["one"] = self._commit(main, "one", first)
        self._git(main, "tag", "v1")
        self.commits["two"] = self._commit(main, "two", {"a": "two\n", "c": "c\n"})
        self._git(main, "tag", "-a", "-m", "note", "noted")
        self._git(main, "checkout", "-qb", "other", "v1")
        self.commits["other"] = self._commit(main, "other", {"a": "other\n"})
        self._git(main, "checkout", "-q", "main")
        sub = self.root / "sub"
        sub.mkdir()
        self._git(sub, "init", "-q")
        self._commit(sub, "sub", {"inner": "inner\n"})
        for name in ("main", "sub"):
            self._git(self.root, "clone", "-q", "--bare", name, f"{name}.git")
        whole = self.root / "super"
        whole.mkdir()
        self._git(whole, "init", "-q")
        self._git(whole, "remote", "add", "origin", str(self.root / "super.git"))
        self._git(whole, "submodule", "--quiet", "add", "../sub.git", "below/sub")
        self._commit(whole, "super", {"Dockerfile": "FROM scratch\nCOPY . /all/\n"})
        self._git(self.root, "clone", "-q", "--bare", "super", "super.git")

    def close(self):
        self.server.shutdown()
