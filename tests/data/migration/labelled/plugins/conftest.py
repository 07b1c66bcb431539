pytest_plugins = ["plugins.more_fixtures"]
