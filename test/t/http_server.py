"""An HTTP server that answers as a test tells it, and writes down what it got.

    http_server.py FOLDER [CERTIFICATE KEY]

FOLDER/port is written once it listens on 127.0.0.1, FOLDER/requests gets a line
of JSON for each request, with its body's beginning. FOLDER/answers holds what it says to the next ones, a
line of JSON each: status, headers, body; delay in seconds; drop, to say nothing
at all; lines, of a _bulk request: what to say of each document by its id, or id and version.
Where nothing is told, FOLDER/refused says what is not taken: a status for each
body that holds a text, or has more than so many bytes. Anything else gets 200;
if the path ends in _bulk, what an index says that keeps documents by version.
"""
import gzip
import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = sys.argv[1]
lock = threading.Lock()
versions = {}


def next_answer(body):
    """What we are told to say to this request."""
    path = f"{folder}/answers"
    if os.path.exists(path):
        with open(path) as file:
            first, *others = file.readlines()
        with open(f"{path}.new", "w") as file:
            file.writelines(others)
        os.rename(f"{path}.new", path)
        if not others:
            os.remove(path)
        return json.loads(first)
    if os.path.exists(f"{folder}/refused"):
        with open(f"{folder}/refused") as file:
            rule = json.load(file)
        if rule.get("text", "\0").encode() in body or len(body) > rule.get("bytes", sys.maxsize):
            return rule
    return {}


def bulk(body, told):
    """What an index says of the lines of a _bulk request."""
    items = []
    lines = iter(body.splitlines())
    for line in lines:
        ((action, of),) = json.loads(line).items()
        key = (of["_index"], of["_id"])
        if action == "index":
            next(lines)
        status = 201 if action == "index" else 404
        said = told.get(f"{of['_id']} {of['version']}") or told.get(of["_id"], {"status": status})
        if of["version"] < versions.get(key, 0):
            said = {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "older"}}
        elif "error" not in said:
            versions[key] = of["version"]
        items.append({action: said})
    return {"errors": any("error" in said for item in items for said in item.values()), "items": items}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent
        with lock:
            told = next_answer(body)
            status = told.get("status", 200)
            answer = told.get("body", "")
            if self.path.split("?")[0].endswith("/_bulk") and status == 200 and not answer:
                answer = json.dumps(bulk(body, told.get("lines", {})))
            request = {"path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()},
                       "body": body.decode()[:300_000], "size": len(sent), "peer": self.client_address[1], "status": 0 if told.get("drop") else status, "time": time.time()}
            with open(f"{folder}/requests", "a") as file:
                file.write(json.dumps(request) + "\n")
        time.sleep(told.get("delay", 0))
        if told.get("drop"):
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in told.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.encode())))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[2:4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(f"{folder}/port.new", "w") as file:
    file.write(str(server.server_port))
os.rename(f"{folder}/port.new", f"{folder}/port")
server.serve_forever()
