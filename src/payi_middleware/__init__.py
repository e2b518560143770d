"""Know, per request, what a Python web app's GenAI calls cost and who asked for them."""
