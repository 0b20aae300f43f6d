"""The rules. No network, no disk, no clock, no log lives in this folder."""
