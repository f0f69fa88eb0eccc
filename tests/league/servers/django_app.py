"""Django's StreamingHttpResponse in one file. ASGI: uvicorn django_app:asgi; WSGI: gunicorn django_app:wsgi"""

import asyncio
import json
import time

from django.conf import settings

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="x",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
import django

django.setup()
import core
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path


def models(request):
    return JsonResponse(core.models())


async def achat(request):
    try:
        try:
            body = json.loads(request.body)
        except ValueError:
            raise core.Bad(400, "the body is not JSON")
        core.check(body)
    except core.Bad as e:
        return JsonResponse(e.body, status=e.status)
    if request.method != "POST":
        return JsonResponse({}, status=405)
    if not body.get("stream"):
        return JsonResponse(core.whole(body))

    async def events():
        if body["model"] == "m-slow":
            await asyncio.sleep(2)
        for data in core.chunks(body):
            yield f"data: {data}\n\n"
            await asyncio.sleep(core.PACE)

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def chat(request):
    try:
        try:
            body = json.loads(request.body)
        except ValueError:
            raise core.Bad(400, "the body is not JSON")
        core.check(body)
    except core.Bad as e:
        return JsonResponse(e.body, status=e.status)
    if request.method != "POST":
        return JsonResponse({}, status=405)
    if not body.get("stream"):
        return JsonResponse(core.whole(body))

    def events():
        if body["model"] == "m-slow":
            time.sleep(2)
        for data in core.chunks(body):
            yield f"data: {data}\n\n"
            time.sleep(core.PACE)

    return StreamingHttpResponse(events(), content_type="text/event-stream")


import os

urlpatterns = [path("v1/models", models), path("v1/chat/completions", achat if os.environ.get("ASGI") else chat)]
asgi = get_asgi_application()
wsgi = get_wsgi_application()
