"""Tests of secoda_async; the folders mirror the package."""
