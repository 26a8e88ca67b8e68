"""Networks that read token ids: backbones, and what changes them."""
