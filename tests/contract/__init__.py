"""Tests of the package as a whole: names, layers, docs, wheel."""
