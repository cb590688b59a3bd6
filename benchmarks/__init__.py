"""Runnable evidence: each module prints its command, its seed and its figures."""
