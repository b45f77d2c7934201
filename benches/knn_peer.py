"""The peer of ``bench_value.py``: pyDVL's KNN-Shapley, run by the interpreter of pyDVL's own environment.

    python knn_peer.py DATA.npz QUERIES CORES OUT.npy

DATA holds records (n, d), targets, queries, wanted and k. It prints JSON with the seconds of ``fit`` on the first
QUERIES queries, which starts from the embeddings and so includes the distances, and the version; OUT gets the values.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from joblib import parallel_config
from pydvl.valuation import Dataset, KNNShapleyValuation
from sklearn.neighbors import KNeighborsClassifier


def main() -> None:
    """Value the records and print how long it took."""
    path, queries, cores, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    data = np.load(path)
    train = Dataset(data["records"], data["targets"])
    test = Dataset(data["queries"][:queries], data["wanted"][:queries])
    model = KNeighborsClassifier(n_neighbors=int(data["k"]), metric="euclidean", algorithm="brute")
    valuation = KNNShapleyValuation(model, test, progress=False)
    with parallel_config(n_jobs=cores):
        start = time.perf_counter()
        valuation.fit(train)
        seconds = time.perf_counter() - start
    values = np.empty(len(data["records"]))
    values[valuation.result.indices] = valuation.result.values
    np.save(out, values)
    print(json.dumps({"seconds": seconds, "version": version("pydvl"), "numpy": np.__version__}))


if __name__ == "__main__":
    main()
