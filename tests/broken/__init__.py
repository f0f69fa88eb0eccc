"""Programs with one plausible fault each, and correct but unusual ones: what the judge must tell apart."""
