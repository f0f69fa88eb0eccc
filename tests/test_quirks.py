"""Quirks: each changes what it says it does, and nothing that it does not say."""
