"""Forwarding measured: what is carried (`cells`), by whom (`carriers`, `ceiling`), how often (`rounds`)."""
