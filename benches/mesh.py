"""A straightforward mesh of 64 modes in PyTorch, layer by layer on complex tensors: what `cargo bench --bench kernels -- mesh-64` is compared with.

Not part of the tests: `python3 benches/mesh.py [threads]` needs torch. It prints the best of some rounds, forward, and forward and backward, in
shots a second.
"""

import sys
import time

import torch

MODES, SHOTS, ROUNDS = 64, 512, 30
torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)


class Mesh(torch.nn.Module):
    """Columns of interferometers: two couplers that halve power, a phase shifter before each."""

    def __init__(self):
        super().__init__()
        self.phases = torch.nn.ParameterList()
        for column in range(MODES):
            self.phases.append(torch.nn.Parameter(3.0 * torch.randn(2, (MODES - column % 2) // 2)))

    def forward(self, inputs):
        fields = inputs.to(torch.complex64)
        for column, phases in enumerate(self.phases):
            skipped, count = column % 2, phases.shape[1]
            theta, phi = torch.exp(1j * phases[0]), torch.exp(1j * phases[1])
            pairs = fields[:, skipped : skipped + 2 * count].reshape(-1, count, 2)
            upper, lower = pairs[..., 0], pairs[..., 1]
            t00, t01 = 0.5 * phi * (theta - 1), 0.5j * (theta + 1)
            t10, t11 = 0.5j * phi * (theta + 1), 0.5 * (1 - theta)
            pairs = torch.stack((t00 * upper + t01 * lower, t10 * upper + t11 * lower), dim=-1)
            fields = torch.cat((fields[:, :skipped], pairs.reshape(-1, 2 * count), fields[:, skipped + 2 * count :]), dim=1)
        return fields.real**2 + fields.imag**2


def best(run):
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return SHOTS / min(seconds)


mesh, inputs = Mesh(), 2 * torch.rand(SHOTS, MODES) - 1
weights = torch.rand(SHOTS, MODES)


def forward():
    with torch.no_grad():
        mesh(inputs)


def both():
    leaf = inputs.clone().requires_grad_()
    (mesh(leaf) * weights).sum().backward()


print(f"torch {torch.__version__}, {torch.get_num_threads()} threads: {MODES} modes, batches of {SHOTS}")
print(f"forward               {best(forward):12.0f} shots/s")
print(f"forward and backward  {best(both):12.0f} shots/s")
