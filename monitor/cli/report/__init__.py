"""The command `report`: its options, and the report on a terminal."""
