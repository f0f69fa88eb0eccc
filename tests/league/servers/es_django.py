"""django-eventstream with its default storage; events are sent by a thread. uvicorn es_django:asgi"""

from django.conf import settings

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="x",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_eventstream"],
    MIDDLEWARE=[],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "./es.sqlite"}},
    EVENTSTREAM_STORAGE_CLASS="django_eventstream.storage.DjangoModelStorage",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
import django

django.setup()
from django.core.management import call_command

call_command("migrate", verbosity=0, run_syncdb=True)
import threading
import time

import django_eventstream
from django.core.asgi import get_asgi_application
from django.urls import include, path
from django_eventstream import send_event

urlpatterns = [
    path("es", include(django_eventstream.urls), {"channels": ["test"]}),
    path("events/", include(django_eventstream.urls), {"channels": ["test"]}),
]
asgi = get_asgi_application()


def go():
    i = 0
    while i < 3000:
        send_event("test", "message", {"n": i})
        i += 1
        time.sleep(0.5)


threading.Thread(target=go, daemon=True).start()
