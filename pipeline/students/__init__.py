"""Phase two as the configuration asks for it: training, sweeps, generations, what people see of them."""
