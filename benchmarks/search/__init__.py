"""Search methods side by side: tasks, arms, a runner that goes on where it was cut off, and what came out."""
