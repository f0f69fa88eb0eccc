"""Flask with a generator; run by gunicorn's threads, waitress-like, or Werkzeug's own server"""

import time

import core
from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.errorhandler(core.Bad)
def bad(error):
    return jsonify(error.body), error.status


@app.get("/v1/models")
def models():
    return jsonify(core.models())


@app.post("/v1/chat/completions")
def chat():
    body = core.check(request.get_json(silent=True))
    if not body.get("stream"):
        return jsonify(core.whole(body))

    def events():
        if body["model"] == "m-slow":
            time.sleep(2)
        for data in core.chunks(body):
            yield f"data: {data}\n\n"
            time.sleep(core.PACE)

    return Response(events(), mimetype="text/event-stream")


if __name__ == "__main__":
    import sys

    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
