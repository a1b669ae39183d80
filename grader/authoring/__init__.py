"""For authors: what every kata promises, and the tools that measure, seal and draw."""
