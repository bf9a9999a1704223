"""The harness: grids become cells, cells become records. Each module is imported where it is needed."""
