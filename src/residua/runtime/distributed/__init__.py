"""Several processes that train one network: who started them, what they exchange, how one's failure ends all."""
