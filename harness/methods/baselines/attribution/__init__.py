"""XAI methods that come with the harness."""
