"""The application: from a configuration to trained policies, an evaluation and a report."""

import os

# Before torch loads its OpenMP runtime. Threads that spin at a barrier waste the core that the other thread needs: on
# two shared virtual cores one training step took 2 to 5 s spinning and 0.55 s waiting, and single steps minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
