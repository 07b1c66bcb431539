"""PostgreSQL, Redis and ClickHouse behind one protocol: ``base`` says what each can do, ``registry`` lists them."""
