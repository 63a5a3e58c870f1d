"""Compares training speed with plain eager PyTorch, torchdistill and the machine's floor."""
