"""The pages, badges and JSON documents that the web server answers with."""
