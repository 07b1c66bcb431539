"""What one test, or one script, has of the services: clients, and the namespaces behind them. Knows no pytest."""
