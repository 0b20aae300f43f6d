"""What is measured, one subject a file. A line yields its rows as soon as they are known."""
