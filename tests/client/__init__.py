"""Tests of the client and its calls, against the emulator."""
