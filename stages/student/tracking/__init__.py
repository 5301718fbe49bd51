"""Where people watch trials: TensorBoard events, Weights & Biases, MLflow. Nothing of it is ever read back."""
