"""One HTTP request that ends within its time, whatever the other side does."""
