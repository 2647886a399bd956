"""Tests of `secoda_async.ext.redis`, on a real Redis server."""
