"""What `pnnlab reproduce symbolic-numerics` cannot measure in its own process: SymPy, SciPy and CasADi on the same two problems, on this
machine. Writes symbolic-numerics.json into a folder that is then given to it:

    python -m pip install -r benches/oracles/requirements.txt
    python benches/oracles/run.py FOLDER [PNNLAB]

With a second argument, the program PNNLAB is run on the folder afterwards, so that all numbers are of one run.
"""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import casadi
import numpy as np
import scipy.integrate
import scipy.sparse
import sympy

SIDE = 32
SECONDS = 10.0
# As in the file of equations: relative to the largest value.
TOLERANCE = 1e-4


def fastest(rounds, work):
    """Seconds of the fastest of some rounds."""
    best = math.inf
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def network():
    """The Jacobian of eight coupled oscillators by SymPy's lambdify, in µs a point."""
    q = sympy.symbols("q0:8")
    w = [1 + 0.1 * k for k in range(8)]
    slopes = []
    for k in range(8):
        near = [j for j in range(8) if abs(k - j) <= 2]
        pulls = [0.5 * (sympy.sin(q[j]) - sympy.sin(q[k])) * sympy.exp(-((q[k] - q[j]) ** 2)) for j in near]
        slopes.append(-(w[k] ** 2) * sympy.sin(q[k]) + sum(pulls))
    jacobian = sympy.Matrix(slopes).jacobian(q)
    function = sympy.lambdify(q, list(jacobian), modules="math", cse=True)
    point = [0.1 * k - 0.3 for k in range(8)]
    count = 2000
    return 1e6 * fastest(7, lambda: [function(*point) for _ in range(count)]) / count


def masks():
    """Where the first species is fed."""
    return (np.arange(SIDE) >= 0.8 * SIDE - 1).astype(float)[None, :]


def slopes_of(state):
    """The right side of the medium, as one writes it with NumPy."""
    a, b, c = state.reshape(3, SIDE, SIDE)
    wide = np.pad(a, 1, mode="reflect")
    around = wide[2:, 1:-1] + wide[:-2, 1:-1] + wide[1:-1, 2:] + wide[1:-1, :-2] - 4 * a
    made = -a * b + c
    return np.concatenate([(100 * around + masks() - a + made).ravel(), (1 - b + made).ravel(), (1 - c - made).ravel()])


def pattern():
    """The Jacobian's places."""
    cells = SIDE * SIDE
    at = np.arange(cells).reshape(SIDE, SIDE)
    rows, columns = [], []
    for x in range(SIDE):
        for y in range(SIDE):
            for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
                if 0 <= x + dx < SIDE and 0 <= y + dy < SIDE:
                    rows.append(at[x, y])
                    columns.append(at[x + dx, y + dy])
            for row in range(3):
                for column in range(3):
                    rows.append(row * cells + at[x, y])
                    columns.append(column * cells + at[x, y])
    ones = np.ones(len(rows))
    return scipy.sparse.csc_matrix((ones, (rows, columns)), shape=(3 * cells, 3 * cells))


def by_scipy(tolerance):
    """The medium for ten seconds by SciPy's BDF with the sparsity given."""
    start = np.zeros(3 * SIDE * SIDE)
    places = pattern()
    solved = scipy.integrate.solve_ivp(
        lambda _, state: slopes_of(state), (0, SECONDS), start, "BDF", jac_sparsity=places, rtol=tolerance, atol=1e-2 * tolerance
    )
    assert solved.success
    return solved.y[:, -1]


def by_casadi():
    """The medium for ten seconds by CasADi's CVODES: the solver, which is made once."""
    a, b, c = (casadi.SX.sym(name, SIDE, SIDE) for name in "abc")

    def reflected(at):
        return abs(at) if at < SIDE else 2 * SIDE - 2 - at

    rows = []
    for x in range(SIDE):
        row = []
        for y in range(SIDE):
            row.append(
                a[reflected(x + 1), y] + a[reflected(x - 1), y] + a[x, reflected(y + 1)] + a[x, reflected(y - 1)] - 4 * a[x, y]
            )
        rows.append(casadi.horzcat(*row))
    around = casadi.vertcat(*rows)
    fed = casadi.repmat(casadi.DM(masks()), SIDE, 1)
    made = -a * b + c
    slopes = casadi.vertcat(casadi.vec(100 * around + fed - a + made), casadi.vec(1 - b + made), casadi.vec(1 - c - made))
    state = casadi.vertcat(casadi.vec(a), casadi.vec(b), casadi.vec(c))
    # Its direct solvers ("qr", "csparse") took minutes here, so the iterative one stands for it.
    options = {"reltol": TOLERANCE, "abstol": 1e-2 * TOLERANCE, "newton_scheme": "gmres"}
    return casadi.integrator("medium", "cvodes", {"x": state, "ode": slopes}, 0, SECONDS, options)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [["SymPy lambdify(cse=True), Jacobian of the network", network(), "µs"]]
    exact = by_scipy(1e-7)
    largest = np.abs(exact).max()
    found = by_scipy(TOLERANCE)
    numbers.append(["SciPy BDF with the sparsity given, medium for 10 s", fastest(3, lambda: by_scipy(TOLERANCE)), "s"])
    numbers.append(["SciPy BDF, error after 10 s, of the largest value", float(np.abs(found - exact).max() / largest), "1"])
    start = time.perf_counter()
    solver = by_casadi()
    numbers.append(["CasADi CVODES, making the solver of the medium", time.perf_counter() - start, "s"])
    zeros = np.zeros(3 * SIDE * SIDE)
    numbers.append(["CasADi CVODES, medium for 10 s", fastest(3, lambda: solver(x0=zeros)), "s"])
    ended = np.array(solver(x0=zeros)["xf"]).ravel()
    # Its arrays go column by column.
    cells = SIDE * SIDE
    ended = np.concatenate([ended[k * cells : (k + 1) * cells].reshape(SIDE, SIDE).T.ravel() for k in range(3)])
    numbers.append(["CasADi CVODES, error after 10 s, of the largest value", float(np.abs(ended - exact).max() / largest), "1"])
    file = folder / "symbolic-numerics.json"
    file.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    for name, value, unit in numbers:
        print(f"{name:64}{value:14.6g} {unit}")
    if 2 < len(sys.argv):
        subprocess.run([sys.argv[2], "reproduce", "symbolic-numerics", "--data", str(folder)], check=True)


if __name__ == "__main__":
    main()
