"""Training speed against plain eager PyTorch, torchdistill and the machine's own floor."""
