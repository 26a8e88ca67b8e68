"""What an encoder is used for, as keras-hub knows it."""
