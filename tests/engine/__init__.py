"""Tests of `secoda_async._engine`."""
