"""Real services under every fault we can make; an independent checker judges what they leave behind."""
