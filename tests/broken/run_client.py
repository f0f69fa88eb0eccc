"""Runs ``client.py`` as a module, which Python compiles once: it is started a thousand times."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import client

client.main()
