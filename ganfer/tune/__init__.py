"""The search for better classifier settings: what is searched, how trials run, and what comes of them."""
