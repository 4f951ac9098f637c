"""Tests that need real brokers."""
