"""The commands `report` and `replay`, and the report on a terminal."""
