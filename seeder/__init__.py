"""``python -m seeder``: seed the stack that the settings name."""
