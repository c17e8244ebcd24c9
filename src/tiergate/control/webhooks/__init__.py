"""Webhooks: signed deliveries of events, with retries."""
