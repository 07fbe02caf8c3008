"""Modules of PyTorch for the oracle "python"; modules.py FOLDER writes them into the folder."""
import os
import sys

import torch

torch.manual_seed(1)
double = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)).double()
single = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Sigmoid(), torch.nn.Linear(4, 1))

if __name__ == "__main__":
    torch.jit.script(double).save(os.path.join(sys.argv[1], "scripted.pt"))
    torch.save(double, os.path.join(sys.argv[1], "pickled.pth"))
    torch.save(double.state_dict(), os.path.join(sys.argv[1], "weights.pt"))
    print(double(torch.ones(1, 3, dtype=torch.float64)).item())
