"""What a reader sees, plays and is told: plots, widgets, checks of exercises, layers one by one."""
