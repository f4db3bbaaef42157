#!/usr/bin/env python3
"""Moto's S3 server, one request at a time, and only whole ones.

Moto looks whether a name is taken and takes it in two steps, so that under load two creates of one
name can both win. A store that does this is refused by the probe, and rightly. With requests one
after the other moto is the store that it means to be. And moto takes what arrived of a body for all
of it when the connection breaks, so that half an object is stored; real servers refuse that.
Arguments are those of moto_server.
"""

import io
import sys
import threading

import moto.server

run = moto.server.run_simple


def one_at_a_time(app):
    turn = threading.Lock()

    def serve(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length:
            body = received(environ["wsgi.input"], length)
            if len(body) < length:
                start_response("400 Bad Request", [])
                return [b""]
            environ["wsgi.input"] = io.BytesIO(body)
        with turn:
            return list(app(environ, start_response))

    return serve


def received(stream, length):
    try:
        return stream.read(length)
    except OSError:
        return b""


def run_simple(host, port, app, **options):
    run(host, port, one_at_a_time(app), **options)


moto.server.run_simple = run_simple
sys.exit(moto.server.main(sys.argv[1:]))
