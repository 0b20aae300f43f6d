"""The settings: their types, how they are loaded, and how a mistake in them is reported."""
