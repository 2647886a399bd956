"""Tests of `secoda_async.reconcile.files`."""
