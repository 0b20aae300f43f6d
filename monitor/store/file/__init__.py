"""The file itself: opened, brought to this version's schema, and saved when it or the disk fails."""
