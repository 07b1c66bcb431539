def test_warehouse(warehouse):
    warehouse.query_df.return_value = None
