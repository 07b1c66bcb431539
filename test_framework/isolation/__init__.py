"""What is equal for all services when tests own a namespace each: values, names, the ledger, the pool, reclaiming."""
