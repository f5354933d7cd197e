"""A file server for the tests: serve.py aiohttp|starlette|http.server DIRECTORY.

It prints its base URL, and ends when its standard input does.
"""

import os
import socket
import sys
import threading


def serve_http_server(directory, listener):
    import functools
    import http.server

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    server = http.server.ThreadingHTTPServer(listener.getsockname(), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


def serve_aiohttp(directory, listener):
    from aiohttp import web

    application = web.Application()
    application.router.add_static("/", directory)
    web.run_app(application, sock=listener, print=None)


def serve_starlette(directory, listener):
    import uvicorn
    from starlette.staticfiles import StaticFiles

    # Static files alone, as its documentation shows it.
    config = uvicorn.Config(StaticFiles(directory=directory), log_level="error", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


def end_with_input():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    name, directory = sys.argv[1:]
    serve = {
        "aiohttp": serve_aiohttp,
        "http.server": serve_http_server,
        "starlette": serve_starlette,
    }[name]
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    threading.Thread(target=end_with_input, daemon=True).start()
    serve(directory, listener)


main()
