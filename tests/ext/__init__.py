"""Tests of `secoda_async.ext`."""
